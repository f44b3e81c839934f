package actions

import "strings"

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
