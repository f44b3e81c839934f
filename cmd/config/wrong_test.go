package config

import (
	"fmt"
	"strings"
)

// wrong are small edits of the example and where they must be complained about.
var wrong = []struct {
	name  string
	edits []string // old, new
	want  []string // line and field
}{
	// keys and forms
	{"unknown key at the top", []string{"retention:", "retain:"}, []string{"69 retain"}},
	{"unknown key below", []string{"incident_channel:", "incident_chanel:"}, []string{"2 slack.incident_channel", "4 slack.incident_chanel"}},
	{"unknown key in a list", []string{"name: Carol Clark", "nam: Carol Clark"}, []string{"10 people[2].nam", "10 people[2].name"}},
	{"duplicate key", []string{"  external_id:", "  hub_account: x\n  external_id:"}, []string{"22 aws.hub_account"}},
	{"duplicate key in flow", []string{"name: Carol Clark", "id: carla, name: Carol"}, []string{"10 people[2].id"}},
	{"empty value", []string{"team: T01ACME", "team:"}, []string{"3 slack.team"}},
	{"text for a list", []string{"regions: [us-east-1, eu-west-1]", "regions: us-east-1"}, []string{"23 aws.regions"}},
	{"text for a mapping", []string{"{approvals: 1}", "one"}, []string{"32 policy.undo"}},
	{"text for truth", []string{"mock_sources: false", "mock_sources: no"}, []string{"44 alerts.mock_sources"}},
	{"fraction", []string{"{approvals: 1}", "{approvals: 1.5}"}, []string{"32 policy.undo.approvals"}},
	{"not a number", []string{"{approvals: 1}", "{approvals: .nan}"}, []string{"32 policy.undo.approvals"}},
	{"number for text", []string{`hub_account: "111111111111"`, "hub_account: 111111111111"}, []string{"18 aws.hub_account"}},
	{"several in one place", []string{"team: T01ACME", "team: x\n  tem: y"}, []string{"3 slack.team", "4 slack.tem"}},
	// Slack
	{"workspace's name", []string{"team: T01ACME", "team: acme"}, []string{"3 slack.team"}},
	{"channel's name", []string{"incident_channel: C01INC", "incident_channel: incidents"}, []string{"4 slack.incident_channel"}},
	{"no command channel", []string{"command_channels: [C01INC]", "command_channels: []"}, []string{"5 slack.command_channels"}},
	{"command channel's name", []string{"command_channels: [C01INC]", "command_channels: [C01INC, ops]"}, []string{"5 slack.command_channels[1]"}},
	{"socket mode in words", []string{"  command_channels:", "  socket_mode: \"true\"\n  command_channels:"}, []string{"5 slack.socket_mode"}},
	// people
	{"person's ID", []string{"id: alice", "id: alice smith"}, []string{"8 people[0].id", "14 groups.responders.people[0]"}},
	{"person's ID that no session tag may have", []string{"id: alice", "id: 'alice,prod'"}, []string{"8 people[0].id", "14 groups.responders.people[0]"}},
	{"person's ID is short", []string{"id: carol", "id: c", "bob, carol]", "bob]"}, []string{"10 people[2].id", "34 policy.actions.delete_role.approvals", "35 policy.actions.delete_key.approvals"}},
	{"person's ID twice", []string{"id: carol", "id: Bob", "bob, carol]", "bob]", "delete_role: {approvals: 2}", "delete_role: {}", "delete_key:  {approvals: 2}", "delete_key: {}"}, []string{"10 people[2].id"}},
	{"Slack user twice", []string{"U03CAROL", "U01ALICE"}, []string{"10 people[2].slack"}},
	{"Slack user's name", []string{"U03CAROL", "carol"}, []string{"10 people[2].slack"}},
	{"without Slack", []string{"Carol Clark,    slack: U03CAROL", "Carol Clark"}, []string{"10 people[2].slack"}},
	{"name over lines", []string{"name: Carol Clark", `name: "Carol\nClark"`}, []string{"10 people[2].name"}},
	{"principal of an account that may be a target", []string{"arn:aws:iam::111111111111:user/alice", "arn:aws:iam::222222222222:user/alice"}, []string{"8 people[0].iam[0]"}},
	{"principal twice", []string{"slack: U03CAROL", `slack: U03CAROL, iam: ["arn:aws:iam::111111111111:user/Alice"]`}, []string{"10 people[2].iam[0]"}},
	{"a role is nobody", []string{":user/alice", ":role/alice"}, []string{"8 people[0].iam[0]"}},
	{"root is nobody", []string{":user/alice", ":root"}, []string{"8 people[0].iam[0]"}},
	{"session of a common role", []string{"AWSReservedSSO_IR_0123456789abcdef", "admin"}, []string{"9 people[1].iam[0]"}},
	{"any session", []string{"/bob@example.com", "/*"}, []string{"9 people[1].iam[0]"}},
	{"principal elsewhere", []string{"arn:aws:iam::111111111111:user/alice", "arn:aws-cn:iam::111111111111:user/alice"}, []string{"8 people[0].iam[0]"}},
	// groups
	{"group's name", []string{"  responders:\n", "  Responders:\n"}, []string{"13 groups.Responders", "31 policy.default.approvers", "31 policy.default.requesters", "49 alerts.routes[0].call"}},
	{"empty group", []string{"[alice, bob, carol]", "[]"}, []string{"14 groups.responders.people"}},
	{"unknown person", []string{"[alice, bob, carol]", "[alice, bob, carl]"}, []string{"14 groups.responders.people[2]"}},
	{"listed twice", []string{"[alice, bob, carol]", "[alice, bob, carol, bob]"}, []string{"14 groups.responders.people[3]"}},
	{"user group's handle", []string{"S0RESPONDERS ", "responders "}, []string{"15 groups.responders.slack_usergroup"}},
	{"unused group is checked", []string{"groups:\n", "groups:\n  none: {}\n"}, []string{"13 groups.none.people"}},
	// aws and protected
	{"missing keys", []string{"  external_id: 4b3c2a1f\n", "", "  responder_role: killswitch-responder\n", ""}, []string{"17 aws.external_id", "17 aws.responder_role"}},
	{"policies delegated to nobody", []string{`"999999999999"`, "\"999999999999\"\n  policy_account: \"999999999999\""}, []string{"20 aws.policy_account"}},
	{"account ID", []string{`"999999999999"`, `"99999999999"`}, []string{"19 aws.management_account"}},
	{"role's ARN", []string{"responder_role: killswitch-responder", "responder_role: arn:aws:iam::1:role/x"}, []string{"20 aws.responder_role"}},
	{"one role for both", []string{"restorer_role: killswitch-restorer", "restorer_role: Killswitch-Responder"}, []string{"21 aws.restorer_role"}},
	{"short external ID", []string{"external_id: 4b3c2a1f", "external_id: x"}, []string{"22 aws.external_id"}},
	{"external ID's characters", []string{"external_id: 4b3c2a1f", "external_id: a b"}, []string{"22 aws.external_id"}},
	{"long external ID", []string{"external_id: 4b3c2a1f", "external_id: " + strings.Repeat("x", 1225)}, []string{"22 aws.external_id"}},
	{"zone", []string{"[us-east-1, eu-west-1]", "[us-east-1a, eu-west-1]"}, []string{"23 aws.regions[0]"}},
	{"partitions mixed", []string{"[us-east-1, eu-west-1]", "[us-east-1, cn-north-1, us-gov-west-1]"}, []string{"23 aws.regions[1]", "23 aws.regions[2]"}},
	{"unknown partition", []string{"[us-east-1, eu-west-1]", "[us-east-1, us-iso-east-1]"}, []string{"23 aws.regions[1]"}},
	{"all in another partition", []string{"[us-east-1, eu-west-1]", "[cn-north-1]"}, []string{"8 people[0].iam[0]", "9 people[1].iam[0]", "28 protected.principals[0]", "66 notify.sns_topic_arn", "67 notify.pager_topic_arn"}},
	{"alias's form", []string{"{prod:", "{Prod:"}, []string{"24 aws.accounts.Prod"}},
	{"alias like an ID", []string{"{prod:", `{"444444444444":`}, []string{"24 aws.accounts.444444444444"}},
	{"alias in use", []string{"sandbox:", "prod:"}, []string{"24 aws.accounts.prod"}},
	{"account has two aliases", []string{`"333333333333"`, `"222222222222"`}, []string{"24 aws.accounts.sandbox"}},
	{"protected alias", []string{`accounts: ["111111111111"]`, "accounts: [prod]"}, []string{"27 protected.accounts[0]"}},
	{"wildcard in a name", []string{"role/break-glass", "role/break-*"}, []string{"28 protected.principals[0]"}},
	{"wildcard in a path", []string{"role/break-glass", "role/*/break-glass"}, []string{"28 protected.principals[0]"}},
	{"part of an account", []string{"::*:role", "::1*:role"}, []string{"28 protected.principals[0]"}},
	{"trust in what is none", []string{exampleProtected, `[{arn: "arn:aws:iam::*:role/break-glass", trust: ["break-glass", "arn:aws:iam::*:role/x*", "*"]}]`},
		[]string{"28 protected.principals[0].trust[0]", "28 protected.principals[0].trust[1]", "28 protected.principals[0].trust[2]"}},
	{"trust in nobody", []string{exampleProtected, `[{arn: "arn:aws:iam::*:role/break-glass", trust: []}]`}, []string{"28 protected.principals[0].trust"}},
	{"trust in no role", []string{exampleProtected, `[{trust: ["111111111111"]}]`}, []string{"28 protected.principals[0].arn"}},
	{"trust of a user", []string{exampleProtected, `[{arn: "arn:aws:iam::*:user/emergency", trust: ["111111111111"]}]`}, []string{"28 protected.principals[0].arn"}},
	{"trust in another partition", []string{exampleProtected, `[{arn: "arn:aws:iam::*:role/break-glass", trust: ["arn:aws-cn:iam::111111111111:root"]}]`}, []string{"28 protected.principals[0].trust[0]"}},
	{"protected twice", []string{exampleProtected, `["arn:aws:iam::*:role/break-glass", {arn: "arn:aws:iam::*:role/break-glass", trust: ["111111111111"]}]`}, []string{"28 protected.principals[1].arn"}},
	{"protected session", []string{"iam::*:role/break-glass", "sts::*:assumed-role/x/y"}, []string{"28 protected.principals[0]"}},
	// policy
	{"incomplete default", []string{"approvals: 1, approve_within: 30m, ", ""}, []string{"31 policy.default.approvals", "31 policy.default.approve_within"}},
	{"no default", []string{"  default: {requesters", "  undone: {requesters"}, []string{"30 policy.default", "31 policy.undone"}},
	{"unknown group", []string{"requesters: responders", "requesters: responder"}, []string{"31 policy.default.requesters"}},
	{"unknown group for an action", []string{"delete_role: {approvals: 2}", "delete_role: {approvers: admins}"}, []string{"34 policy.actions.delete_role.approvers"}},
	{"no approval", []string{"undo:    {approvals: 1}", "undo:    {approvals: 0}"}, []string{"32 policy.undo.approvals"}},
	{"no approval of what can't be undone", []string{"delete_key:  {approvals: 2}", "delete_key:  {approvals: 0}"}, []string{"35 policy.actions.delete_key.approvals"}},
	{"too few approvers", []string{"delete_role: {approvals: 2}", "delete_role: {approvals: 3}"}, []string{"34 policy.actions.delete_role.approvals"}},
	{"too few by another group", []string{"delete_role: {approvals: 2}", "delete_role: {approvers: one, approvals: 1}", "groups:\n", "groups:\n  one: {people: [alice]}\n"}, []string{"35 policy.actions.delete_role.approvals"}},
	{"too few by inheritance", []string{"delete_role: {approvals: 2}", "delete_role: {approvers: two}", "groups:\n", "groups:\n  two: {people: [alice]}\n"}, []string{"35 policy.actions.delete_role.approvers"}},
	{"unknown action", []string{"delete_role: {", "remove_role: {"}, []string{"34 policy.actions.remove_role"}},
	{"votes from the command line that nobody can give", []string{"require_sts_vote: false", "require_sts_vote: true", `, iam: ["arn:aws:iam::111111111111:user/alice"]`, ""}, []string{"36 policy.actions.apply_scp.require_sts_vote"}},
	{"votes from the command line of another group", []string{"approvals: 1, approve_within", "require_sts_vote: true, approvals: 1, approve_within", "undo:    {approvals: 1}", "undo:    {requesters: callers, approvers: carols}", "groups:\n", "groups:\n  carols: {people: [carol]}\n  callers: {people: [alice]}\n", "      approvals: 0 ", "      #"}, []string{"34 policy.undo.approvers"}},
	{"one click where a vote from the command line is wanted", []string{"delete_key:  {approvals: 2}", "deactivate_key: {require_sts_vote: true}"}, []string{"53 alerts.routes[1].approvals"}},
	{"bare number of minutes", []string{"approve_within: 30m", "approve_within: 30"}, []string{"31 policy.default.approve_within"}},
	{"unit", []string{"approve_within: 30m", "approve_within: 30min"}, []string{"31 policy.default.approve_within"}},
	{"too short to approve", []string{"approve_within: 30m", "approve_within: 59s"}, []string{"31 policy.default.approve_within"}},
	{"too long to approve", []string{"approve_within: 30m", "approve_within: 24h1m"}, []string{"31 policy.default.approve_within"}},
	{"too long to run", []string{"run_within: 5m", "run_within: 61m"}, []string{"31 policy.default.run_within"}},
	{"watch is short", []string{"watch: 7d", "watch: 0h"}, []string{"38 policy.watch"}},
	{"watch is long", []string{"watch: 7d", "watch: 91d"}, []string{"38 policy.watch"}},
	{"watch's unit", []string{"watch: 7d", "watch: 90m"}, []string{"38 policy.watch"}},
	{"admin group's ARN", []string{"admin_group: admins", "admin_group: arn:aws:iam::1:group/admins"}, []string{"37 policy.admin_group"}},
	// scps, alerts, webhooks, notify, retention
	{"SCP of nothing", []string{"{builtin: freeze}", "{}"}, []string{"41 scps.freeze"}},
	{"SCP of both", []string{"{builtin: freeze}", "{builtin: freeze, file: x.json}"}, []string{"41 scps.freeze"}},
	{"unknown SCP", []string{"{builtin: freeze}", "{builtin: frozen}"}, []string{"41 scps.freeze.builtin"}},
	{"absolute path", []string{"{builtin: freeze}", "{file: /etc/passwd}"}, []string{"41 scps.freeze.file"}},
	{"SCP of a name that is taken", []string{"  freeze: {builtin: freeze}", "  revoke-222222222222: {builtin: freeze}"}, []string{"41 scps.revoke-222222222222"}},
	{"SCP's file is missing", []string{"{builtin: freeze}", "{file: scps/none.json}"}, []string{"41 scps.freeze.file"}},
	{"SCP's file is a directory", []string{"{builtin: freeze}", "{file: scps/dir.json}"}, []string{"41 scps.freeze.file"}},
	{"SCP's file is large", []string{"{builtin: freeze}", "{file: scps/large.json}"}, []string{"41 scps.freeze.file"}},
	{"SCP's file is no JSON file", []string{"{builtin: freeze}", "{file: bootstrap}"}, []string{"41 scps.freeze.file"}},
	{"SCP that is not JSON", []string{"{builtin: freeze}", "{file: scps/text.json}"}, []string{"41 scps.freeze.file"}},
	{"SCP that would lock us out", []string{"{builtin: freeze}", "{file: scps/lockout.json}"}, []string{"41 scps.freeze.file"}},
	{"SCP of the seed: an Allow list", []string{"  freeze: {builtin: freeze}", "  own: {builtin: freeze}\n  old: {file: scps/allow.json}"}, []string{"42 scps.old.file"}},
	{"SCP for roles of another name", []string{"{builtin: freeze}", "{file: scps/freeze.json}", "responder_role: killswitch-responder", "responder_role: ir"}, []string{"41 scps.freeze.file"}},
	{"SCP's file and no roles: one thing at a time", []string{"{builtin: freeze}", "{file: scps/freeze.json}", "responder_role: killswitch-responder", "responder_role: 'i r'"}, []string{"20 aws.responder_role"}},
	{"forwarder is the responder", []string{"  external_id:", "  forwarder_role: Killswitch-Responder\n  external_id:"}, []string{"22 aws.forwarder_role"}},
	{"more protected than an SCP holds", []string{`["arn:aws:iam::*:role/break-glass"]`, manyPrincipals()}, []string{"28 protected.principals"}},
	{"path upwards", []string{"{builtin: freeze}", "{file: scps/../../x}"}, []string{"41 scps.freeze.file"}},
	{"total cap", []string{"auto_per_hour: 5 ", "auto_per_hour_total: 1001 "}, []string{"45 alerts.auto_per_hour_total"}},
	{"cap", []string{"auto_per_hour: 5", "auto_per_hour: -1"}, []string{"45 alerts.auto_per_hour"}},
	{"source", []string{"source: health", "source: heath"}, []string{"58 alerts.routes[4].match.source"}},
	{"no source", []string{"{source: health}", "{type: x}"}, []string{"58 alerts.routes[4].match.source"}},
	{"type's wildcard", []string{"InstanceCredentialExfiltration*", "InstanceCredentialExfiltration?"}, []string{"47 alerts.routes[0].match.type"}},
	{"severity", []string{"min_severity: 4", "min_severity: 11"}, []string{"57 alerts.routes[3].match.min_severity"}},
	{"suggested action", []string{"action: deactivate_key", "action: disable_key"}, []string{"52 alerts.routes[1].suggest[0].action"}},
	{"mode", []string{"mode: iam-only", "mode: gentle"}, []string{"56 alerts.routes[2].suggest[0].mode"}},
	{"mode of another action", []string{"{action: deactivate_key}", "{action: deactivate_key, mode: iam-only}"}, []string{"52 alerts.routes[1].suggest[0].mode"}},
	{"delivery", []string{"delivery: propose", "delivery: automatic"}, []string{"50 alerts.routes[0].delivery"}},
	{"auto without suggest", []string{"{source: health}", "{source: health}\n      delivery: auto"}, []string{"59 alerts.routes[4].delivery"}},
	{"auto of what can't be undone", []string{"delivery: propose", "delivery: auto", "action: isolate_instance", "action: delete_role"}, []string{"48 alerts.routes[0].suggest[1].action"}},
	{"auto with an option that can't be undone", []string{"delivery: propose", "delivery: auto", "action: isolate_instance", "action: quarantine_user, mfa: off"}, []string{"48 alerts.routes[0].suggest[1].action"}},
	{"auto for an account", []string{"delivery: propose", "delivery: auto", "action: isolate_instance", "action: apply_scp"}, []string{"48 alerts.routes[0].suggest[1].action"}},
	{"one click without suggest", []string{"      suggest: [{action: deactivate_key}]\n", ""}, []string{"52 alerts.routes[1].approvals"}},
	{"one click of what can't be undone", []string{"action: deactivate_key", "action: delete_key"}, []string{"52 alerts.routes[1].suggest[0].action"}},
	{"auto for what anybody imports", []string{"{source: securityhub, min_severity: 7}", "{source: securityhub, min_severity: 7}\n      suggest: [{action: revoke_sessions}]\n      delivery: auto"}, []string{"61 alerts.routes[5].delivery"}},
	{"one click for what anybody imports", []string{"{source: securityhub, min_severity: 7}", "{source: securityhub, min_severity: 7}\n      suggest: [{action: detach_policies}]\n      approvals: 0"}, []string{"61 alerts.routes[5].approvals"}},
	{"auto without suggest for what anybody imports", []string{"{source: securityhub, min_severity: 7}", "{source: securityhub, min_severity: 7}\n      delivery: auto"}, []string{"60 alerts.routes[5].delivery"}},
	{"one click on a key's owner whom nobody confirms", []string{"action: deactivate_key", "action: quarantine_user"}, []string{"53 alerts.routes[1].approvals"}},
	{"auto for a key's owner whom nobody confirms", []string{"{source: health}", "{source: health}\n      suggest: [{action: quarantine_user}]\n      delivery: auto"}, []string{"60 alerts.routes[4].delivery"}},
	{"approvals of a route", []string{"approvals: 0", "approvals: 1"}, []string{"53 alerts.routes[1].approvals"}},
	{"unknown called", []string{"call: responders", "call: [alice, dave]"}, []string{"49 alerts.routes[0].call[1]"}},
	{"nobody and somebody called", []string{"call: responders", "call: [alice, nobody]"}, []string{"49 alerts.routes[0].call[1]"}},
	{"called twice", []string{"call: responders", "call: [alice, alice]"}, []string{"49 alerts.routes[0].call[1]"}},
	{"called by a number", []string{"call: responders", "call: 7"}, []string{"49 alerts.routes[0].call"}},
	{"nothing called", []string{"call: responders", "call: []"}, []string{"49 alerts.routes[0].call"}},
	{"route's channel", []string{"      channel: C01INC", "      channel: keys"}, []string{"54 alerts.routes[1].channel"}},
	{"route that another covers", []string{"{source: health}", "{source: guardduty, min_severity: 8}"}, []string{"58 alerts.routes[4]"}},
	{"route that a type covers", []string{"{source: health}", `{source: guardduty, type: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.*", min_severity: 7}`}, []string{"58 alerts.routes[4]"}},
	{"the same route twice", []string{"{source: securityhub, min_severity: 7}", "{source: health}"}, []string{"59 alerts.routes[5]"}},
	{"covered, but wrong itself", []string{"{source: health}", "{source: guardduty, min_severity: 80}"}, []string{"58 alerts.routes[4].match.min_severity"}},
	{"buttons that are not there", []string{"delivery: propose", "delivery: notify"}, []string{"48 alerts.routes[0].suggest"}},
	{"one click on nothing", []string{"{source: health}", "{source: health}\n      suggest: [{action: deactivate_key}]\n      approvals: 0\n      delivery: notify"}, []string{"59 alerts.routes[4].suggest", "60 alerts.routes[4].approvals"}},
	{"webhook's ID", []string{"id: soar", "id: SOAR"}, []string{"62 webhooks[0].id"}},
	{"webhook twice", []string{"id: eventbridge", "id: soar"}, []string{"63 webhooks[1].id"}},
	{"webhook's action", []string{"[isolate_instance, revoke_sessions]", "[isolate_instance, revoke]"}, []string{"62 webhooks[0].actions[1]"}},
	{"webhook for nothing", []string{"events: true", "events: false"}, []string{"63 webhooks[1]"}},
	{"webhook whose events can't be", []string{"revoke_sessions]}", "revoke_sessions], auto: true}"}, []string{"62 webhooks[0].auto"}},
	{"webhook's truth", []string{"events: true", "events: true, auto: maybe"}, []string{"63 webhooks[1].auto"}},
	{"topic's name", []string{"arn:aws:sns:us-east-1:111111111111:security-alerts", "security-alerts"}, []string{"66 notify.sns_topic_arn"}},
	{"pager's topic", []string{"arn:aws:sns:us-east-1:111111111111:pager", "arn:aws:sqs:us-east-1:111111111111:pager"}, []string{"67 notify.pager_topic_arn"}},
	{"pager's topic in another partition", []string{"arn:aws:sns:us-east-1:111111111111:pager", "arn:aws-cn:sns:cn-north-1:111111111111:pager"}, []string{"67 notify.pager_topic_arn"}},
	{"no pager", []string{"  pager_topic_arn: arn:aws:sns:us-east-1:111111111111:pager ", "  "}, []string{"68 notify.pager_after"}},
	{"pager at once", []string{"pager_after: 10m", "pager_after: 59s"}, []string{"68 notify.pager_after"}},
	{"pager when it is too late", []string{"pager_after: 10m", "pager_after: 30m"}, []string{"68 notify.pager_after"}},
	{"group called here", []string{"  responders:\n", "  here: {people: [alice]}\n  responders:\n"}, []string{"13 groups.here"}},
	{"group called nobody", []string{"  responders:\n", "  nobody: {people: [alice]}\n  responders:\n"}, []string{"13 groups.nobody"}},
	{"person called here", []string{"{id: carol", "{id: here", "alice, bob, carol", "alice, bob, here"}, []string{"10 people[2].id"}},
	{"pager the day after", []string{"pager_after: 10m", "pager_after: 24h1m"}, []string{"68 notify.pager_after"}},
	{"pager's unit", []string{"pager_after: 10m", "pager_after: 10"}, []string{"68 notify.pager_after"}},
	{"retention's unit", []string{"400d", "1y"}, []string{"69 retention"}},
	{"retention is short", []string{"400d", "23h"}, []string{"69 retention"}},
	// YAML that is refused
	{"anchor and alias", []string{"{approvals: 1}", "&one {approvals: 1}", "delete_role: {approvals: 2}", "delete_role: *one"}, []string{"32 policy.undo", "34 policy.actions.delete_role"}},
	{"merge key", []string{"{approvals: 1}", "{<<: {approvals: 1}}"}, []string{`32 policy.undo."<<"`}},
	{"tag", []string{"team: T01ACME", "team: !!str T01ACME"}, []string{"3 slack.team"}},
	{"key that is a list", []string{"{approvals: 1}", "{[a]: 1}"}, []string{"32 policy.undo"}},
	// secrets
	{"secret value", []string{"external_id: 4b3c2a1f", "external_id: xoxb-" + "1-2-abc"}, []string{"22 aws.external_id"}},
	{"secret in a comment", []string{"# aliases", "# AKIA" + "ABCDEFGHIJKLMNOP"}, []string{"24"}},
	{"secret in a block", []string{"name: Carol Clark,", `name: "-----BEGIN` + ` KEY",`}, []string{"10 people[2].name"}},
	{"secret in a key", []string{"retention: 400d", "xapp-" + "1-abc: 400d"}, []string{`69 "[redacted]"`}},
}

// notYAML is refused as a whole, or deep inside.
var notYAML = []struct{ name, text, want string }{
	{"nothing", "", "1"},
	{"comments", "# soon\n", "1"},
	{"not closed", "a:\n  b: [1, 2\nc: 3\n", "3"},
	{"tab", "a:\n\t- b\n", "2"},
	{"two documents", minimal + "---\na: 1\n", "8"},
	{"broken second document", minimal + "---\na: [\n", "10"},
	{"list", "\n- a\n", "2"},
	{"text", "killswitch", "1"},
	{"null", "~", "1"},
	{"control character", "a: 1\nb: \x00\n", "2"},
	{"not UTF-8", "a: 1\nb: \xff\n", "2"},
	{"unknown alias", "a: 1\nb: *c\n", "2"},
	{"alias of itself", "a: &a [*a]\n", "1 a"},
	{"too large", strings.Repeat("#", maxSize+1), "1"},
	{"deep flow", strings.Repeat("[", maxSize), "1"},
	{"deep block", strings.Repeat("- ", 5000) + "a", "1"},
	{"deep mapping", "slack: " + strings.Repeat("{a: ", 40) + strings.Repeat("}", 40), "1 slack" + strings.Repeat(".a", 16)},
	{"wide", "a: [" + strings.Repeat("1,", 50_000) + "]", "1 a"},
	{"many keys", manyKeys(), "1 slacca"},
	{"many people", "groups: {a: {people: [" + strings.Repeat("ab, ac, ", 10_000) + "]}}", "1 groups.a.people[19999]"},
	{"billion laughs", "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n", "1 a"},
}

// exampleProtected is the list of the example.
const exampleProtected = `["arn:aws:iam::*:role/break-glass"]`

func manyPrincipals() string {
	var arns []string
	for i := range 300 {
		arns = append(arns, fmt.Sprintf("%q", fmt.Sprintf("arn:aws:iam::*:role/break-glass-%d", i)))
	}
	return "[" + strings.Join(arns, ", ") + "]"
}

func manyKeys() string {
	var b strings.Builder
	for i := range 10_000 {
		b.WriteString("slacc" + strings.Repeat("k", i%3) + string(rune('a'+i%26)) + strings.Repeat("x", i%7) + ": 1\n")
	}
	return b.String()
}
