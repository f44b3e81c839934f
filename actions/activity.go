package actions

import "time"

// Activity is what a principal, or one of its keys, did lately, as CloudTrail
// tells it.
type Activity struct {
	Subject string    `json:"subject"` // whose: AKIA…
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Total   int       `json:"total"`
}

// Text is the activity for people, in plain text.
func (a Activity) Text() string { return a.Subject }
