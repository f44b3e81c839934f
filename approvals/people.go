package approvals

import "slices"

// Person is a human being with all their accounts.
type Person struct {
	ID    string   // in the audit chain and in SourceIdentity
	Name  string   // for display
	Slack string   // Slack user ID
	IAM   []string // exact principals, for votes from the command line
	// Principals are what else is theirs in AWS: users and roles by ARN or ID, root users, sso:NAME and
	// sso:ID. Nobody votes by them.
	Principals []string
}

// Roster lists people and groups. It is part of the configuration, and the only
// authority on them.
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

// ByPrincipal finds the person that an IAM principal is, by its exact ARN.
func (r Roster) ByPrincipal(arn string) (Person, bool) {
	i := slices.IndexFunc(r.People, func(p Person) bool { return slices.Contains(p.IAM, arn) })
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

// Persons finds people, in the order of their IDs; it leaves out whom it does not know.
func (r Roster) Persons(ids []string) (known []Person) {
	for _, id := range ids {
		if p, ok := r.ByID(id); ok {
			known = append(known, p)
		}
	}
	return known
}

// CanSign reports whether a person has an AWS identity, to sign with at the command line.
func (r Roster) CanSign(id string) bool {
	who, _ := r.ByID(id)
	return len(who.IAM) > 0
}

// In reports whether a person belongs to a group. An unknown group has no members.
func (r Roster) In(person, group string) bool { return slices.Contains(r.Groups[group], person) }
