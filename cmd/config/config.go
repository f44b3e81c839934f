package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Config is a configuration without a problem.
type Config struct {
	Team            string // Slack workspace; payloads from any other are refused
	IncidentChannel string // where cards go unless a route says otherwise
	// CommandChannels are where the slash command may be typed, the incident channel among them. Empty: in every
	// channel that is internal to the workspace.
	CommandChannels []string
	CanaryChannel   string // where the daily check posts and deletes a message; may be empty
	SocketMode      bool   // serve may take what people do over a connection, where Slack signs nothing

	Org actions.Org // its Regions are all in its Partition, and never empty
	// Files are what the configuration names beside itself: slash-separated paths
	// below its directory, to be packed with it.
	Files []string

	Policy     approvals.Policy
	Usergroups map[string]string // group → Slack user group ID

	Alerts   finding.Routing
	Webhooks []Webhook
	SNSTopic string // ARN; may be empty
	// PagerTopic gets what nobody has answered for PagerAfter: an ARN; may be empty.
	PagerTopic string
	PagerAfter time.Duration

	// AuditBucket takes the heads of audit chains, and is best of another account.
	AuditBucket Bucket
	Retention   time.Duration // how long records are kept
}

// Bucket is an S3 bucket. Without a Name there is none.
type Bucket struct {
	Name    string
	Region  string // empty: the hub's
	Account string // that it must belong to; empty: any
}

// Topics are the ARNs that notify names.
func (c Config) Topics() []string {
	return slices.DeleteFunc([]string{c.SNSTopic, c.PagerTopic}, func(arn string) bool { return arn == "" })
}

// The defaults.
const (
	defaultRetention   = 400 * 24 * time.Hour
	defaultAutoPerHour = 5
	autoAccounts       = 4 // so many accounts at once may use up their caps of automatic containments
	defaultPagerAfter  = 10 * time.Minute
)

// maxSize is the limit on a file, in bytes.
const maxSize = 1 << 20

// Parse reads a configuration. Its error is [Problems], sorted by line; name
// is what they call the file. What it names beside itself is read from files,
// which may be nil: then it may name nothing.
func Parse(name string, data []byte, files fs.FS) (Config, error) {
	c := &checker{file: name, files: files, settled: map[string]bool{}}
	cfg := c.check(data)
	if len(c.problems) > 0 {
		return Config{}, c.sorted()
	}
	return cfg, nil
}

// Load reads a configuration file and the files that it names, which are in its
// directory. Its error is [Problems] or that the file can't be read.
func Load(path string) (Config, error) {
	f, err := os.Open(path) //nolint:gosec // G304: the operator names their own file
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data, os.DirFS(filepath.Dir(path)))
}

func (c *checker) check(data []byte) Config {
	root := c.parse(data)
	if root == nil {
		return Config{}
	}
	c.findSecrets(root, data)
	c.validate(root)

	slack := root.at("slack")
	cfg := Config{
		Team:            slack.at("team").text(),
		IncidentChannel: slack.at("incident_channel").text(),
		CommandChannels: slack.at("command_channels").texts(),
		CanaryChannel:   slack.at("canary_channel").text(),
		SocketMode:      slack.at("socket_mode").yes(),
		Retention:       defaultRetention,
	}
	if len(cfg.CommandChannels) > 0 && !slices.Contains(cfg.CommandChannels, cfg.IncidentChannel) {
		cfg.CommandChannels = append(cfg.CommandChannels, cfg.IncidentChannel) // where those who may not are sent
	}
	cfg.Org = c.org(root)
	var roster approvals.Roster
	roster.People = c.people(root.at("people"), cfg.Org)
	roster.Groups, cfg.Usergroups = c.groups(root.at("groups"), roster.People)
	cfg.Policy = c.policy(root.at("policy"), roster)
	cfg.Org.SCPs, cfg.Files = c.scps(root, cfg.Org)
	cfg.Alerts = c.alerts(root.at("alerts"), cfg.Policy)
	c.canary(slack.at("canary_channel"), cfg)
	cfg.Webhooks = c.webhooks(root.at("webhooks"), cfg.Policy)
	cfg.Policy.Webhooks = grants(cfg.Webhooks)
	c.notify(root.at("notify"), &cfg)
	heads := root.at("audit")
	cfg.AuditBucket = Bucket{heads.at("bucket").text(), heads.at("region").text(), heads.at("account").text()}
	if c.days(root.at("retention"), &cfg.Retention); cfg.Retention < 24*time.Hour {
		c.add(root.at("retention"), "must be at least 1d", "an undo needs the record of what was there before")
	}
	return cfg
}

// canary checks that nobody reads the channel of the daily check for anything else.
func (c *checker) canary(v *value, cfg Config) {
	of := cfg.Alerts.Channels(append([]string{cfg.IncidentChannel}, cfg.CommandChannels...)...)
	if id := v.text(); id != "" && slices.Contains(of, id) {
		c.add(v, "is a channel that people work in", "name one of its own: the daily check posts a message there and deletes it")
	}
}

// notify reads the topics.
func (c *checker) notify(v *value, cfg *Config) {
	notices, pager, after := v.at("sns_topic_arn"), v.at("pager_topic_arn"), v.at("pager_after")
	cfg.SNSTopic, cfg.PagerTopic = notices.text(), pager.text()
	for _, topic := range []*value{notices, pager} {
		c.checkPartition(topic, cfg.Org.Partition)
	}
	switch {
	case pager != nil:
		cfg.PagerAfter = defaultPagerAfter
		c.duration(after, &cfg.PagerAfter, 24*time.Hour)
		if within := cfg.Policy.Default.ApproveWithin; after != nil && within >= time.Minute && cfg.PagerAfter >= within && cfg.PagerAfter <= 24*time.Hour {
			c.add(after, "must be shorter than policy.default.approve_within, "+durationText(within), "a request expires before the pager is called for it")
		}
	case after != nil:
		c.add(after, "there is no pager", "set notify.pager_topic_arn, or remove it")
	}
}

// days reads days or hours; the schema has checked the form.
func (c *checker) days(v *value, into *time.Duration) {
	s := v.text()
	if len(s) < 2 {
		return
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour}[s[len(s)-1]]
	if err == nil && n <= 99999 && unit > 0 {
		*into = time.Duration(n) * unit
	}
}

// duration reads a duration within bounds; the schema has checked the form.
func (c *checker) duration(v *value, into *time.Duration, most time.Duration) {
	d, err := time.ParseDuration(v.text())
	if err != nil {
		return
	}
	*into = d
	c.within(v, d, time.Minute, most)
}

func (c *checker) within(v *value, d, least, most time.Duration) {
	if d < least || d > most {
		c.add(v, fmt.Sprintf("must be between %s and %s", durationText(least), durationText(most)), "")
	}
}

// durationText returns a duration as a whole number of hours or minutes.
func durationText(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// unique finds duplicates.
type unique map[string]*value

func (c *checker) once(u unique, key string, v *value, text string) {
	if first := u[key]; first != nil {
		c.add(v, text, fmt.Sprintf("first on line %d", first.line))
	} else if key != "" {
		u[key] = v
	}
}
