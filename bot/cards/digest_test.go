package cards

import (
	"fmt"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals/alerts"
)

// TestDigestMessages: whatever is in them, Slack takes them and they do nothing.
func TestDigestMessages(t *testing.T) {
	for name, text := range map[string]string{
		"plain": "UnauthorizedAccess:EC2/SSHBruteForce", "hostile": "<!channel> *bold* `x` \u202e <http://evil.example|Approve> & _it_ \x00",
		"long": strings.Repeat("&", 5000), "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			d := alerts.Digest{ID: "DG-0123456789AB", At: asked, N: 10_000, Levels: map[string]int{"critical": 3, "high": 97, "info": 9900}, Types: map[string]int{}, Accounts: map[string]int{}}
			var items []alerts.DigestItem
			for i := range 30 {
				d.Types[fmt.Sprint(text, i)], d.Accounts[fmt.Sprint(i, text)] = i, i
				items = append(items, alerts.DigestItem{Alert: fmt.Sprintf("AL-%012d", i), Severity: 8, Level: "high", Type: text, Account: text, Line: text})
			}
			d.Worst = items[:5]
			checkMessage(t, Digest(d))
			if m := Digest(d); m.Text != "10000 more alerts: 3 critical, 97 high, 9900 info · "+d.ID {
				t.Errorf("text %q", m.Text)
			}
			for _, from := range []int{0, 4000, 9980} {
				checkMessage(t, DigestPage(d, from, items[:DigestPageSize]))
			}
		})
	}
}
