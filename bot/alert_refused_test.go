package bot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

const poison = "role role-poison"

func poisoned(f *finding.Finding) { f.Principal = poison }

// refuses has Slack refuse for ever what says the poison.
func (d *desk) refuses(method, code string, of func(text, blocks string) bool) {
	d.slack.Fail(slackfake.Fault{Method: method, Error: code, Times: -1, Of: of})
}

func inBlocks(_, blocks string) bool    { return strings.Contains(blocks, poison) }
func anywhere(text, blocks string) bool { return strings.Contains(text+blocks, poison) }
func longOrBlocks(text, blocks string) bool {
	return blocks != "" && blocks != "[]" && inBlocks(text, blocks) || len(text) > 400
}

// TestRefusedCardsAreText: what Slack refuses for good is posted as text that says so, with what fits,
// and updated so; nobody waits for it.
func TestRefusedCardsAreText(t *testing.T) {
	for name, tt := range map[string]struct {
		of   func(text, blocks string) bool
		full bool
	}{
		"its blocks": {inBlocks, true},
		"long ones":  {longOrBlocks, false},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.refuses("chat.*", "invalid_blocks", tt.of)
				d.hears(gdFinding(0, poisoned))
				for i := 1; i <= 12; i++ {
					time.Sleep(20 * time.Second)
					d.hears(gdFinding(i))
					if n := len(d.cards(sec)); n != i+1 {
						t.Fatalf("after %d findings there are %d cards", i+1, n)
					}
				}
				card := d.cards(sec)[0]
				for _, want := range []string{"medium: UnauthorizedAccess:", poison, "Slack refused this as a card (invalid_blocks)", "AL-"} {
					if !strings.Contains(card.Text, want) {
						t.Errorf("the text lacks %q: %s", want, card.Text)
					}
				}
				if got := strings.Contains(card.Text, "revoke_sessions arn:aws:iam::"); got != tt.full || len(card.Blocks) > 0 {
					t.Errorf("what fits is in it: %v: %s", got, card.Text)
				}
				d.hears(gdFinding(0, poisoned, later(5), severe(8)))
				d.pass(time.Minute)
				if now := d.cards(sec)[0]; !strings.HasPrefix(now.Text, "high: ") || now.TS != card.TS {
					t.Errorf("after an update: %s", now.Text)
				}
				if row := d.row(gdFinding(0)); row.Stale() {
					t.Error("it is still drawn again")
				}
			})
		})
	}
}

// TestRefusedAltogether: what Slack takes not even as text is told in words of our own, once, and is
// tried again after an hour; nobody waits for it.
func TestRefusedAltogether(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.refuses("chat.*", "msg_blocked", anywhere)
		d.hears(gdFinding(0, poisoned, severe(8)))
		for i := 1; i <= 12; i++ {
			d.pass(20 * time.Second)
			d.hears(gdFinding(i, severe(8)))
			if n := len(d.cards(sec)); n != i {
				t.Fatalf("of %d others there are %d cards", i, n)
			}
		}
		id := approvals.AlertID(gdFinding(0).Own())
		told := d.saying("can't be shown")
		if len(told) != 1 || !strings.Contains(told[0], id) || !strings.Contains(told[0], "msg_blocked") || !strings.Contains(told[0], "high, of") || strings.Contains(told[0], poison) {
			t.Errorf("told %q", told)
		}
		tries := d.calls("chat.postMessage")
		d.pass(30 * time.Minute)
		if n := d.calls("chat.postMessage") - tries; n != 0 {
			t.Errorf("%d posts while it waits", n)
		}
		d.slack.Heal()
		d.pass(40 * time.Minute)
		if row := d.row(gdFinding(0)); row.Card.TS == "" {
			t.Error("it is not tried again")
		}
	})
}

// saying are the channel's messages with a text.
func (d *desk) saying(text string) (all []string) {
	for _, m := range d.slack.Messages(sec) {
		if m.EphemeralTo == "" && strings.Contains(m.Text, text) {
			all = append(all, m.Text)
		}
	}
	return all
}

// TestPassingTroubleHoldsAlertsBack: errors that would meet each message are no reason to write text.
func TestPassingTroubleHoldsAlertsBack(t *testing.T) {
	for _, code := range []string{"internal_error", "token_revoked", "ratelimited", "service_unavailable"} {
		atDesk(t, func(t *testing.T, d *desk) {
			d.refuses("chat.*", code, nil)
			d.hears(gdFinding(0))
			if n := d.calls("chat.postMessage"); n != 1 {
				t.Errorf("%s: %d posts", code, n)
			}
			d.slack.Heal()
			d.pass(2 * time.Minute)
			if cards := d.cards(sec); len(cards) != 1 || len(cards[0].Blocks) == 0 {
				t.Errorf("%s: %v", code, cards)
			}
		})
	}
}

// TestArchivedChannelIsTold: cards of a route whose channel is gone come to the incident channel, with
// a word on why, once an hour.
func TestArchivedChannelIsTold(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(0, severe(5)))
		d.pass(time.Minute)
		d.slack.Archive("C0OTHER")
		for i := range 5 {
			d.hears(gdFinding(i, severe(5), later(1)))
			d.pass(time.Minute)
		}
		d.hears(gdFinding(0, severe(9.5), later(7)))
		d.pass(time.Minute)
		if cards := d.cards(sec); len(cards) != 5 || !strings.HasPrefix(cards[0].Text, "critical: ") {
			t.Errorf("%d cards: %v", len(cards), cards)
		}
		told := d.saying("takes no messages of mine")
		if len(told) != 1 || !strings.Contains(told[0], "<#C0OTHER>") || !strings.Contains(told[0], "is_") {
			t.Errorf("told %q", told)
		}
		d.pass(61 * time.Minute)
		d.hears(gdFinding(7))
		d.pass(time.Minute)
		if told := d.saying("takes no messages of mine"); len(told) != 2 {
			t.Errorf("an hour later it was told %d times", len(told))
		}
	}, func(d *desk) { d.Findings.Routes[0].Channel = "C0OTHER" })
}

// TestStormBuriesNobody: while one account imports findings that call themselves critical, and makes
// calls that are high, a high finding of another account is posted at once, and a call for it is made.
func TestStormBuriesNobody(t *testing.T) {
	for name, fake := range map[string]func(int) finding.Finding{
		"imported": func(i int) finding.Finding { return imported(i) },
		"its own calls": func(i int) finding.Finding {
			return called(i, "CreateUser", 8, 0, func(f *finding.Finding) { f.Account, f.Actors = "333333333333", nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				asSlackDoes(d)
				var waits []time.Duration
				go func() {
					for i := range 4 {
						time.Sleep(19 * time.Second)
						waits = append(waits, d.posted1(t, gdFinding(9000+i, severe(8))))
					}
				}()
				d.stormOf(1600, 4, 80*time.Second, fake)
				if len(waits) != 4 {
					t.Fatalf("%d real ones", len(waits))
				}
				for _, w := range waits {
					if w > time.Minute {
						t.Errorf("a real one waited %s", w)
					}
				}
				if waits[0] > 10*time.Second || waits[1] > 10*time.Second {
					t.Errorf("the first waited %s", waits)
				}
			}, hearsCloudTrail)
		})
	}
}

// imported is a finding that an account imports into Security Hub.
func imported(i int) finding.Finding {
	return gdFinding(i, func(f *finding.Finding) {
		f.Source, f.Account, f.Severity, f.Type = finding.SecurityHub, "333333333333", 9.5, "TTPs/Fake"
		f.Names = []string{fmt.Sprintf("333333333333/us-east-1/securityhub/%d", i)}
	})
}

// posted1 hears of a finding and returns how long its card took.
func (d *desk) posted1(t *testing.T, f finding.Finding) time.Duration {
	began := time.Now()
	d.hears(f)
	for time.Since(began) < 10*time.Minute {
		if row := d.row(f); row.Card.TS != "" {
			return time.Since(began)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("it is not posted")
	return time.Since(began)
}

// TestUnknownTrouble: an error that we don't know, and that meets each message, is no card's fault.
func TestUnknownTrouble(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.refuses("chat.*", "team_quota_exceeded", nil)
		d.hears(gdFinding(0, severe(9)))
		time.Sleep(20 * time.Second)
		d.slack.Heal()
		d.pass(2 * time.Minute)
		if cards := d.cards(sec); len(cards) != 1 || len(cards[0].Blocks) == 0 {
			t.Errorf("two minutes later: %v; told %q", cards, d.saying("can't be shown"))
		}
	})
}

// TestRefusedHoldsNothingWorseBack: what is worse, of the same actor, waits for no refused card.
func TestRefusedHoldsNothingWorseBack(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(called(0, "A", 5, 0))
		d.pass(time.Minute)
		d.refuses("chat.*", "msg_blocked", anywhere)
		d.hears(called(1, "B", 6, 1, poisoned))
		d.pass(time.Minute)
		before := len(d.posted())
		d.slack.Heal()
		d.hears(gdFinding(2, byDev, severe(9), func(f *finding.Finding) { f.First = f.First.Add(5 * time.Minute); f.Last = f.First }))
		d.pass(time.Minute)
		d.tells(t, before, "GuardDuty, critical: ")
	}, hearsCloudTrail)
}
