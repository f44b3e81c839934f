package actions

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Nearest returns the known word that is close to a mistyped one, or "".
func Nearest(word string, known []string) string {
	if word == "" {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		d := distance(word, k)
		nearer := d < least || d == least && best != "" && strings.HasPrefix(k, word[:1]) && !strings.HasPrefix(best, word[:1])
		if nearer && d <= max(1, len(k)/3) {
			best, least = k, d
		}
	}
	return best
}

const shortest = 3 // letters that tell something

// nearestOrPrefix is Nearest, or else the only known word that begins with this one, or
// that this one begins with.
func nearestOrPrefix(word string, known []string) string {
	best := Nearest(word, known)
	if best != "" || len(word) < shortest {
		return best
	}
	for _, k := range known {
		switch {
		case !strings.HasPrefix(k, word) && (len(k) < shortest || !strings.HasPrefix(word, k)):
		case best != "":
			return ""
		default:
			best = k
		}
	}
	return best
}

// nearestNames returns the names that are near to a mistyped one, the nearest first: those
// that differ in case or in few letters, then those of which one begins with the other or
// that it is a part of.
func nearestNames[T any](word string, known map[string]T) []string {
	word = strings.ToLower(word)
	rank := map[string]int{}
	for name := range known {
		k := strings.ToLower(name)
		switch d := distance(word, k); {
		case d < 3 && d <= max(1, len(k)/3):
			rank[name] = d
		case len(word) >= shortest && strings.Contains(k, word), len(k) >= shortest && strings.HasPrefix(word, k):
			rank[name] = 3 + max(len(k)-len(word), len(word)-len(k))
		}
	}
	return slices.SortedFunc(maps.Keys(rank), func(a, b string) int {
		return cmp.Or(rank[a]-rank[b], len(a)-len(b), strings.Compare(a, b))
	})
}

// Suggest returns the action that a mistyped word probably means, or "".
func (c Catalog) Suggest(typed string) Name {
	meant := map[string]Name{}
	for _, a := range c {
		s := a.Spec()
		for _, w := range append([]string{string(s.Name)}, s.Synonyms...) {
			meant[w] = s.Name
		}
	}
	word := strings.ReplaceAll(strings.ToLower(typed), "-", "_")
	if name, ok := meant[word]; ok {
		return name
	}
	return cmp.Or(
		meant[nearestOrPrefix(word, c.names())],
		meant[Nearest(word, slices.Sorted(maps.Keys(meant)))])
}

// actionOn returns the action that contains what a word names by its form, or "".
func actionOn(target string) Name {
	switch _, _, _, _, user := SplitUserARN(target); {
	case KeyID.MatchString(strings.ToUpper(target)):
		return DeactivateKey
	case InstanceID.MatchString(target), instanceARN.MatchString(target):
		return IsolateInstance
	case user:
		return QuarantineUser
	case principalARN.MatchString(target), assumedRoleARN.MatchString(target):
		return RevokeSessions
	}
	return ""
}

// distance is the number of letters to insert, delete, change or swap to turn a into b.
func distance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3 // too far; long words cost no time
	}
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, change)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
