package cards

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/bot/cards/cardstest"
)

func TestUntrusted(t *testing.T) {
	const wj = "\u2060"
	for name, c := range map[string]struct {
		in, plain, mrkdwn string
	}{
		"empty":             {"", "", ""},
		"words":             {"keys on a paste site", "keys on a paste site", "keys on a paste site"},
		"mention":           {"<!channel> <@U1> <#C1>", "<!channel> <@U1> <#C1>", "&lt;!channel&gt; &lt;@U1&gt; &lt;#C1&gt;"},
		"link":              {"<https://evil.example|Approve>", "<https://evil.example|Approve>", "&lt;https://evil.example|Approve&gt;"},
		"entities":          {"&lt;!channel&gt; & co", "&lt;!channel&gt; & co", "&amp;lt;!channel&amp;gt; &amp; co"},
		"formatting":        {"*b* _i_ ~s~", "*b* _i_ ~s~", "*" + wj + "b*" + wj + " _" + wj + "i_" + wj + " ~" + wj + "s~" + wj},
		"inside words":      {"app_role a*b 1~2 x__y", "app_role a*b 1~2 x__y", "app_role a*b 1~2 x_" + wj + "_" + wj + "y"},
		"code":              {"`x` ```y```", "`x` ```y```", "'x' '''y'''"},
		"bidi":              {"a\u202eb\u202cc\u2066d\u2069e\u200ef\u061cg", "abcdefg", "abcdefg"},
		"zero width":        {"a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg", "abcdefg", "abcdefg"},
		"grapheme joiner":   {"a\u034fb", "ab", "ab"},
		"Hangul fillers":    {"a\u3164b\u115fc\u1160d\uffa0e", "abcde", "abcde"},
		"variation":         {"a\ufe0fb\U000e0100c\u180bd", "abcd", "abcd"},
		"tags":              {"a\U000e0041b", "ab", "ab"},
		"private use":       {"a\ue000b\U000f0000c", "abc", "abc"},
		"control":           {"a\x00b\x1b[31mc\x7fd\u0085e\rf", "ab[31mcd e f", "ab[31mcd e f"},
		"line separators":   {"a\u2028b\u2029c", "a b c", "a b c"},
		"lines and tabs":    {"a\n\tb", "a  b", "a  b"},
		"not UTF-8":         {"a\xffb\xc3", "a\ufffdb\ufffd", "a\ufffdb\ufffd"},
		"accents and kanji": {"é e\u0301 世界 😀", "é e\u0301 世界 😀", "é e\u0301 世界 😀"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Untrusted(c.in).Plain(100); got != c.plain {
				t.Errorf("Plain = %q, want %q", got, c.plain)
			}
			if got := Untrusted(c.in).String(); got != c.mrkdwn {
				t.Errorf("String = %q, want %q", got, c.mrkdwn)
			}
		})
	}
}

// TestUntrustedLength: a text is cut only if it is longer than its limit, by
// character, and what was cut off is marked.
func TestUntrustedLength(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		limit int
		want  string
	}{
		"shorter":             {"ab", 3, "ab"},
		"just as long":        {"abc", 3, "abc"},
		"one longer":          {"abcd", 3, "ab…"},
		"much longer":         {strings.Repeat("x", 5000), 3, "xx…"},
		"wide letters":        {"世界世界", 3, "世界…"},
		"hidden ones are out": {"a\u200b\u200b\u200bbc", 3, "abc"},
		"hidden at the end":   {"ab\u200b\u200b", 3, "ab"},
		"one":                 {"ab", 1, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Untrusted(c.in).Plain(c.limit); got != c.want {
				t.Errorf("Plain(%d) = %q, want %q", c.limit, got, c.want)
			}
		})
	}
	if got := utf8.RuneCountInString(Untrusted(strings.Repeat("x", 5000)).String()); got != MaxReason {
		t.Errorf("String has %d characters, want %d", got, MaxReason)
	}
}

// TestTextIsNeverCutWithinAToken: mrkdwn is never cut within an entity or one of our own tokens.
func TestTextIsNeverCutWithinAToken(t *testing.T) {
	for name, text := range map[string]string{
		"entity":  strings.Repeat("x", 18) + "&amp;&lt;&gt;",
		"mention": strings.Repeat("x", 15) + "<@U0ANA> and more",
		"date":    strings.Repeat("x", 10) + "<!date^1^{time_secs}|00:00:01 UTC> and more",
	} {
		for limit := 12; limit < 30; limit++ {
			got := cut(text, limit)
			if p := cardstest.BadMrkdwn(got); p != "" {
				t.Errorf("%s cut to %d: %q: %s", name, limit, got, p)
				break
			}
			if utf8.RuneCountInString(got) > limit {
				t.Errorf("%s cut to %d has %d characters", name, limit, utf8.RuneCountInString(got))
			}
		}
	}
	if got := cut("abc", 3); got != "abc" {
		t.Errorf("cut of what fits = %q", got)
	}
}

// alnum reports whether a mark beside r is inside a word, where it does nothing.
func alnum(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// FuzzUntrusted: whatever comes in, plain text hides nothing and mrkdwn does nothing.
func FuzzUntrusted(f *testing.F) {
	for _, s := range []string{"", evil, evilLong, "plain words", "\xff\xfe", strings.Repeat("&", 600), "a\n> quoted\n• listed", "*a*_b_~c~`d`", "\u3164\u034f"} {
		f.Add(s, 100)
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + int(uint(limit)%4000)
		got := Untrusted(s).Plain(limit)
		if p := cardstest.BadPlain(got); p != "" {
			t.Errorf("Plain(%q): %s", s, p)
		}
		if n := utf8.RuneCountInString(got); n > limit {
			t.Errorf("Plain(%q, %d) has %d characters", s, limit, n)
		}
		if Untrusted(got).Plain(limit) != got {
			t.Errorf("Plain twice differs from Plain once: %q", got)
		}

		m := Untrusted(s).String()
		if p := cardstest.BadMrkdwn(m); p != "" {
			t.Errorf("String(%q): %s", s, p)
		}
		if strings.ContainsAny(m, "<>`") {
			t.Errorf("String(%q) holds < > or `: %q", s, m)
		}
		rs := []rune(" " + m + " ")
		for i, r := range rs {
			if strings.ContainsRune("*_~", r) && rs[i+1] != cardstest.WordJoiner && (!alnum(rs[i-1]) || !alnum(rs[i+1])) {
				t.Errorf("String(%q) formats: %q", s, m)
			}
		}
		// Read as Slack reads it, it is the plain text, but for the backticks.
		shown := strings.ReplaceAll(cardstest.Unescape(m), string(cardstest.WordJoiner), "")
		if want := strings.ReplaceAll(Untrusted(s).Plain(MaxReason), "`", "'"); shown != want {
			t.Errorf("String(%q) shows %q, want %q", s, shown, want)
		}
		if n := utf8.RuneCountInString(shown); n > MaxReason {
			t.Errorf("String(%q) shows %d characters", s, n)
		}
		// Nothing that can be seen is lost.
		if len(s) < limit && utf8.ValidString(s) {
			want := strings.Map(func(r rune) rune {
				switch {
				case unicode.IsSpace(r):
					return ' ' // it is one line
				case cardstest.Hidden(r):
					return -1
				}
				return r
			}, s)
			if got != want {
				t.Errorf("Plain(%q, %d) = %q, want %q", s, limit, got, want)
			}
		}
	})
}
