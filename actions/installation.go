package actions

import (
	"context"
	"strings"
)

// Installation is the ID of one of several installations of Killswitch that work in the same accounts. Each has
// names of its own for the policies that it writes; "" is the installation without an ID.
//
// What is written before an ID is set, or changed, keeps its name: a step's hold has it.
type Installation string

// Name returns the installation's name of a policy, or the value of a tag: NAME@ID.
func (i Installation) Name(name string) string {
	if i == "" {
		return name
	}
	return name + "@" + string(i)
}

// Sid returns the installation's ID of a statement, which has letters and digits alone.
func (i Installation) Sid(sid string) string { return sid + string(i) }

// installationID is the form of an ID.
var installationID = NewPattern(`^[a-z0-9]{1,12}$`)

// InstallationOf splits what [Installation.Name] returned.
func InstallationOf(name string) (base string, of Installation) {
	if at := strings.LastIndexByte(name, '@'); at > 0 && installationID.MatchString(name[at+1:]) {
		return name[:at], Installation(name[at+1:])
	}
	return name, ""
}

// InstallationOfSid splits what [Installation.Sid] returned for that sid; false for another one.
func InstallationOfSid(sid, base string) (of Installation, ok bool) {
	id, ok := strings.CutPrefix(sid, base)
	return Installation(id), ok && (id == "" || installationID.MatchString(id))
}

// String names the installation for people.
func (i Installation) String() string {
	if i == "" {
		return "the installation without an ID"
	}
	return "the installation " + string(i)
}

// Installation is that of a step whose hold ends with a name of [Installation.Name].
func (s Step) Installation() Installation {
	_, of := InstallationOf(s.HoldName())
	return of
}

// Elsewhere returns those of the marks (a request with its installation) that are of other installations. A mark of a
// request that this one has is its own, whatever its ID was then. What has not the form of a mark is nobody's.
// Whoever may set a tag can forge a mark: it keeps an undo from changing what it is on, and never a deny from
// being put.
func (a *Account) Elsewhere(ctx context.Context, marks string) (others []string) {
	for mark := range strings.FieldsSeq(marks) {
		request, of := InstallationOf(mark)
		if markedRequest.MatchString(request) && of != a.Org.Installation && !a.ofOurs(ctx, request) {
			others = append(others, mark)
		}
	}
	return others
}

// markedRequest is the form of a request's ID.
var markedRequest = NewPattern(`^KS-[0-9A-Z]{12}$`)

func (a *Account) ofOurs(ctx context.Context, request string) bool {
	return a.members != nil && a.members.Began(ctx, request)
}

// HeldElsewhere says whose marks these are; "" for none.
func HeldElsewhere(marks []string) string {
	var texts []string
	for _, mark := range marks {
		request, of := InstallationOf(mark)
		texts = append(texts, of.String()+" ("+request+")")
	}
	return strings.Join(texts, ", ")
}
