package doctor

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	rules "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// events looks at what brings the hub its events: its rules, its event bus and, for serve, the address that they are posted to.
func (d *Doctor) events(ctx context.Context, r *report) {
	if d.facts.parameters == nil || len(d.Config.Alerts.Routes) == 0 {
		return
	}
	redeploy := "deploy the stack " + d.Stack + " again (docs/install.md)"
	if !d.facts.lambda && d.facts.parameters["EventsUrl"] == "" {
		r.bad("events.rules", "deploy the stack "+d.Stack+" with EventsUrl and EventsKey (docs/serve.md#events)", "nothing brings events to serve: there are no alerts, and changes of what is contained are seen by the next look only")
		return
	}
	given := maps.Clone(d.facts.parameters)
	given["EventsUrl"] = "taken" // template.yaml takes events in any case
	made, _, err := d.hubRole(given)
	if err != nil {
		r.bad("events.rules", "killswitch validate "+d.File, "%s", err)
		return
	}
	r.either("events.rules", redeploy, d.compareRules(ctx, d.Hub, d.Hub.Region, made), "the hub's rules are on")
	client := eventbridge.NewFromConfig(d.Hub)
	if d.facts.organization != "" {
		d.bus(ctx, r, client, redeploy)
	}
	if d.facts.lambda {
		return
	}
	out, err := client.ListConnections(ctx, nil)
	if err != nil {
		r.bad("events.connection", "allow yourself events:ListConnections", "the connections can't be read: %s", said(err))
		return
	}
	wrong, found := []string(nil), false
	for _, c := range out.Connections {
		if strings.HasPrefix(aws.ToString(c.Name), "EventsConnection") || strings.HasPrefix(aws.ToString(c.Name), d.Stack) {
			found = true
			if c.ConnectionState != rules.ConnectionStateAuthorized {
				wrong = append(wrong, fmt.Sprintf("%s is %s", aws.ToString(c.Name), c.ConnectionState))
			}
		}
	}
	if !found {
		wrong = append(wrong, "there is no connection with the key of the events")
	}
	r.either("events.connection", "deploy the stack "+d.Stack+" with EventsKey as in KILLSWITCH_WEBHOOK_KEYS", wrong, "the events have their key")
}

// bus looks whether the hub's event bus takes what the member accounts pass on.
func (d *Doctor) bus(ctx context.Context, r *report, client *eventbridge.Client, redeploy string) {
	if !d.facts.forwards {
		r.bad("events.bus", "deploy the stack "+d.Stack+" with OrganizationId="+d.facts.organization, "the hub's event bus takes nothing from the member accounts: only the hub's own findings become alerts")
		return
	}
	out, err := client.DescribeEventBus(ctx, nil)
	switch {
	case err != nil:
		r.bad("events.bus", "allow yourself events:DescribeEventBus", "the event bus can't be read: %s", said(err))
	case !strings.Contains(aws.ToString(out.Policy), d.facts.organization):
		r.bad("events.bus", redeploy, "the policy of the hub's event bus does not let the organization's accounts in (%s)", d.facts.organization)
	default:
		r.ok("events.bus", "the hub's event bus takes what the member accounts pass on")
	}
}
