//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	findings = 300
	delivery = 50 // of them in an array
)

var listedID = regexp.MustCompile(`^AL-[0-9A-Z]{12}`)

var digestHead = regexp.MustCompile(`^([0-9]+) more alerts?: .* · (DG-[0-9A-Z]+)$`)

// storm: hundreds of findings at once, each of another role. Thirty a minute have cards of their own, the
// others stand in digests, and what people ask for does not wait.
func (s *scene) storm() {
	role := s.role("app-role")
	var all []string
	for i := range findings {
		var one bytes.Buffer
		s.must(json.Compact(&one, []byte(s.event("guardduty_iam_exfil-outside.json", "f57a99a0add069bf27c347e38c934148", finding(i), "web-tier-role", fmt.Sprintf("web-%d-role", i)))))
		all = append(all, one.String())
	}
	for part := range slices.Chunk(all, delivery) {
		s.brought(autoKey, "["+strings.Join(part, ",")+"]")
	}
	Eventually(s.t, "the storm", func(context.Context) error {
		if s.count(exfiltration) < 3 {
			return fmt.Errorf("%d cards", s.count(exfiltration))
		}
		return nil
	})
	asked := time.Now()
	card := s.asks(role)
	pending := time.Since(asked)
	s.click(ben, card, "approve")
	s.card("contained", role, false)
	if contained := time.Since(asked); pending > 5*time.Second || contained > 10*time.Second {
		s.t.Errorf("the card came after %s, it was contained after %s", pending, contained)
	}
	if !strings.Contains(s.deny(role), "aws:TokenIssueTime") || s.count(exfiltration) >= 30 {
		s.t.Errorf("%d cards; the role's policy is %q", s.count(exfiltration), s.deny(role))
	}

	shown := map[string]bool{}
	// A slow machine posts some in the next minute's share.
	EventuallyWithin(s.t, "all alerts", 2*patience, func(context.Context) error {
		n := s.count(exfiltration)
		for _, m := range s.slack.Messages(s.t, channel) {
			if g := digestHead.FindStringSubmatch(m.Text); g != nil {
				listed, err := strconv.Atoi(g[1])
				s.must(err)
				n += listed
			}
		}
		if n != findings {
			return fmt.Errorf("%d alerts are told of", n)
		}
		return nil
	})
	var posted []float64
	for _, m := range s.slack.Messages(s.t, channel) {
		if isAlert(m) {
			at, err := strconv.ParseFloat(m.TS, 64)
			s.must(err)
			posted, shown[alertOf(m)] = append(posted, at), true
		}
		if digestHead.MatchString(m.Text) {
			s.list(m, shown)
		}
	}
	if len(shown) != findings {
		s.t.Errorf("%d alerts can be reached", len(shown))
	}
	for i := range posted {
		if i >= 30 && posted[i]-posted[i-30] < 60 {
			s.t.Errorf("31 cards in %.0f s", posted[i]-posted[i-30])
		}
	}
	s.bringOne()
}

// list turns over the pages of a digest's list, and notes whose cards can be had.
func (s *scene) list(digest Message, shown map[string]bool) {
	s.t.Helper()
	g := digestHead.FindStringSubmatch(digest.Text)
	n, err := strconv.Atoi(g[1])
	s.must(err)
	s.click(ana, digest, "alerts")
	for from := 1; from <= n; from += 20 {
		page := fmt.Sprintf("Alerts %d to %d of %d · %s", from, min(from+19, n), n, g[2])
		m := s.slack.Await(s.t, channel, page, func(m Message) bool { return m.Text == page })
		for _, b := range m.Blocks {
			if id := listed(b); id != "" {
				shown[id] = true
			}
		}
		if from+20 <= n {
			s.click(ana, m, "alerts:next")
		}
	}
}

// listed is the alert that a row of a digest's list is about, or "".
func listed(row Block) string { return listedID.FindString(row.BlockID) }

// bringOne: an alert in a digest gets its card at once, with all that one has.
func (s *scene) bringOne() {
	page := s.slack.Await(s.t, channel, "a page", func(m Message) bool { return strings.HasPrefix(m.Text, "Alerts 1 to ") })
	i := slices.IndexFunc(page.Blocks, func(b Block) bool { return b.Accessory != nil })
	id, asked := listed(page.Blocks[i]), time.Now()
	s.click(ana, page, "alert") // the first of them
	card := s.alert(exfiltration, "· "+id)
	if took := time.Since(asked); took > 5*time.Second || !slices.Contains(buttons(card, "propose:"), "propose:revoke_sessions") {
		s.t.Errorf("after %s: %s", took, card)
	}
	s.told(id + ": its card is in")
}
