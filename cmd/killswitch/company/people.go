package company

import "github.com/killswitch-chatops/killswitch/bot/slackfake"

// The people, by Slack ID.
const (
	Alice   = "U01ALICE"
	Bob     = "U02BOB"
	Carol   = "U03CAROL"
	Mallory = "U04MALLORY"
	Grace   = "U05GRACE"
	Oscar   = "U06OSCAR"
	Bot     = "U0BOT"
)

// Role is what a person is to the company.
type Role string

// The roles. An outsider is in the channel from another company's workspace.
const (
	Responder Role = "responder"
	Employee  Role = "employee"
	Guest     Role = "guest"
	Outsider  Role = "outsider"
)

// Person is somebody in the channel.
type Person struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Role  Role   `json:"role"`
	Title string `json:"title"`
}

// People are the members of the channel. The configuration says who is a responder.
var People = []Person{
	{Alice, "Alice Anderson", Responder, "Incident responder"},
	{Bob, "Bob Brown", Responder, "Incident responder"},
	{Carol, "Carol Clark", Responder, "Incident responder"},
	{Mallory, "Mallory Moore", Employee, "Employee, no responder"},
	{Grace, "Grace Green", Guest, "Guest of the workspace"},
	{Oscar, "Oscar Olsen", Outsider, "Partner, from another workspace"},
}

// users are the people and the bot as Slack knows them.
func users(team string) []slackfake.User {
	handles := map[string]string{Alice: "alice", Bob: "bob", Carol: "carol", Mallory: "mallory", Grace: "grace", Oscar: "oscar"}
	us := []slackfake.User{{ID: Bot, Name: "killswitch", RealName: "Killswitch", Bot: true, Team: team}}
	for _, p := range People {
		u := slackfake.User{ID: p.ID, Name: handles[p.ID], RealName: p.Name, Team: team, Restricted: p.Role == Guest}
		if p.Role == Outsider {
			u.Team, u.Stranger = "T02PARTNER", true
		}
		us = append(us, u)
	}
	return us
}
