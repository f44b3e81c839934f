package main

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
)

// text is the configuration as a file, with what could be said besides as comments. Whatever comes from outside is
// written by the YAML library, on one line.
func (c first) text() []byte {
	var b strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	say("# Killswitch's configuration, begun by killswitch init. docs/killswitch.example.yaml has all that can be said.")
	say("# After a change: killswitch validate FILE; then start serve anew, or deploy: it is packed into the functions.")
	say("# A line that is commented out is a choice: take the # away. No secret belongs in here.")

	say("\n# The workspace, whose payloads alone are taken. Cards and calls go to the incident channel. /killswitch works in every")
	say("# channel that the bot is in and that has no guests and nobody from outside, unless command_channels names some.")
	say("slack:\n  team: %s\n  incident_channel: %s", scalarOf(c.team), scalarOf(c.channel))
	say("  # command_channels: [%s]", scalarOf(c.channel))
	say("  # canary_channel: C0CANARY   # a channel of its own: the daily check posts a message there, reads it back and deletes it")
	if c.socketMode {
		say("  socket_mode: true   # Slack signs nothing of what comes so, and every card says that")
	} else {
		say("  # socket_mode: true   # serve --socket-mode, where Slack can't reach the machine: it signs nothing then")
	}

	say("\n# One entry per human being, since approvals count people. Who asks can't approve, and who is contained has no vote: name")
	say("# three at least. iam is what somebody signs with when Slack is down: a user of the hub, or a session of IAM Identity Center")
	say("# there. principals is what else is theirs in AWS: it takes their vote away where that is the target.")
	say("people:")
	for i, p := range c.people {
		say("  - id: %s\n    name: %s\n    slack: %s", scalarOf(p.id), scalarOf(p.name), scalarOf(p.slack))
		if i == 0 {
			say("    # iam: [%s]", scalarOf("arn:"+c.partition()+":iam::"+c.hub+":user/"+strings.ToLower(p.slack)))
			say("    # principals: [%s]", scalarOf("sso:"+strings.ToLower(p.slack)+"@example.com"))
		}
	}

	say("\n# Who may do what, as policy says. Pinned here: a Slack user group can only narrow it, to who is in it right now.")
	say("groups:\n  responders:\n    people:")
	for _, p := range c.people {
		say("      - %s", scalarOf(p.id))
	}
	say("    # slack_usergroup: S0RESPONDERS")

	say("\n# Where Killswitch runs (the hub, an account of its own), and what it enters. Next: killswitch template members makes the")
	say("# member accounts' roles of this section, so deploy those anew when it changes.")
	say("aws:\n  hub_account: %s", scalarOf(c.hub))
	if c.management != "" {
		say("  management_account: %s   # with it any account of the organization works by its ID", scalarOf(c.management))
	} else {
		say("  # management_account: \"999999999999\"   # with it any account of the organization works by its ID")
	}
	if c.policyAccount != "" {
		say("  policy_account: %s   # service control policies are managed from it: merge killswitch policy delegation --config FILE", scalarOf(c.policyAccount))
	} else {
		say("  # policy_account: \"888888888888\"   # if service control policies are delegated to it: then no role of ours is in the management account")
	}
	say("  responder_role: killswitch-responder")
	say("  restorer_role: killswitch-restorer")
	say("  forwarder_role: killswitch-forwarder   # passes findings on; a freeze leaves it alone")
	say("  external_id: %s   # in the trust of the member roles; no secret", scalarOf(c.externalID))
	say("  regions:   # where instances are looked for and activity is read; the first one counts where nothing says which")
	for _, r := range c.regions {
		say("    - %s", scalarOf(r))
	}
	if len(c.accounts) == 0 {
		say("  # accounts: {prod: \"222222222222\"}   # names for typing")
	} else {
		say("  accounts:   # names for typing")
		for _, a := range c.accounts {
			say("    %s: %s", a.name, scalarOf(a.account))
		}
	}

	say("\n# What a freeze leaves alone, where nobody unexpected may enter it. Next: the roles by which you get in when all else is")
	say("# denied; trust names who may enter them, where that is not their own account, the hub or the management account.")
	say("protected:\n  accounts: [%s]", scalarOf(c.hub))
	if len(c.breakGlass) == 0 {
		say("  # principals: [%s]", scalarOf("arn:"+c.partition()+":iam::*:role/break-glass"))
	} else {
		say("  principals:")
		for _, role := range c.breakGlass {
			say("    - %s", scalarOf("arn:"+c.partition()+":iam::*:role/"+role))
		}
	}

	say("\n# Who asks, who approves, how many, and how long that may take. Each action, undo and units (apply_scp on many accounts at")
	say("# once) may differ. What can't be undone takes two approvals unless you say otherwise, a unit three.")
	say("policy:\n  default:\n    requesters: responders\n    approvers: responders\n    approvals: 1\n    approve_within: 30m\n    run_within: 5m")
	if c.adminGroup != "" {
		say("  admin_group: %s   # its members take the name typed and one approval more to be quarantined", scalarOf(c.adminGroup))
	} else {
		say("  # admin_group: admins   # an IAM group whose members take the name typed and one approval more to be quarantined")
	}
	say("  # watch: 7d   # how long what is contained is looked at, and applied again where somebody takes it off")
	say("  # actions: {delete_role: {approvals: %d}}", min(2, max(1, len(c.people)-1)))

	say("\n# Which events become cards; the first route that matches wins, and what none takes is only counted. Each offers what fits")
	say("# the finding. Next: who is called (call), a channel of their own (channel), and what may run without a second person")
	say("# (approvals: 0, delivery: auto), once you have seen some.")
	say("alerts:\n  routes:")
	for _, match := range []string{"source: guardduty, type: \"Stealth:*\"", "source: guardduty, type: \"Policy:*\"", "source: guardduty, min_severity: 4", "source: cloudtrail, type: change",
		"source: trustedadvisor", "source: health", "source: securityhub, min_severity: 7"} {
		say("    - match: {%s}", match)
	}

	say("\n# Who may bring events to serve (the functions get them from EventBridge), and programs that may ask. Their keys are in")
	say("# KILLSWITCH_WEBHOOK_KEYS or in Secrets Manager.")
	say("# webhooks: [{id: eventbridge, events: true}]")

	say("\n# SNS topics: notices of key exposures, and the pager for what nobody has answered after pager_after.")
	say("# notify: {pager_topic_arn: \"arn:%s:sns:%s:%s:pager\", pager_after: 10m}", c.partition(), c.region(), c.hub)

	say("\n# An S3 bucket with object lock, in an account that nobody of the hub administers, that shows whether a record was altered.")
	say("# audit: {bucket: killswitch-audit-heads}")

	say("\nretention: 400d   # of requests, alerts and their records, after their end")
	return []byte(b.String())
}

// partition is that of the regions.
func (c first) partition() string { return actions.PartitionOf(c.region()) }

// region is where the example of a topic is.
func (c first) region() string {
	if len(c.regions) == 0 {
		return defaultRegion
	}
	return c.regions[0]
}

// scalarOf is a text as YAML: quoted, on one line.
func scalarOf(s string) string {
	node := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
	b, err := yaml.Dump(&node, yaml.WithLineWidth(-1))
	if err != nil {
		return `""` // which is nobody's ID: the check that follows says so
	}
	return strings.TrimRight(string(b), "\n")
}
