package approvals

import "slices"

// Person is one human being, whatever their accounts.
type Person struct {
	ID    string   // what the record and SourceIdentity say
	Name  string   // for display
	Slack string   // Slack user ID
	IAM   []string // exact principals, for votes from the command line
}

// Roster is who there is and who belongs to which group. It is pinned in the
// configuration and the authority everywhere.
type Roster struct {
	People []Person
	Groups map[string][]string // group → people IDs
}

// BySlack finds the person behind a Slack user ID.
func (r Roster) BySlack(user string) (Person, bool) {
	i := slices.IndexFunc(r.People, func(p Person) bool { return user != "" && p.Slack == user })
	if i < 0 {
		return Person{}, false
	}
	return r.People[i], true
}

// ByID finds a person.
func (r Roster) ByID(id string) (Person, bool) {
	i := slices.IndexFunc(r.People, func(p Person) bool { return id != "" && p.ID == id })
	if i < 0 {
		return Person{}, false
	}
	return r.People[i], true
}

// In reports whether a person belongs to a group. An unknown group has no members.
func (r Roster) In(person, group string) bool { return slices.Contains(r.Groups[group], person) }
