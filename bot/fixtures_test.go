package bot

import (
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

var (
	ana = approvals.Person{ID: "ana", Name: "Ana", Slack: "U0ANA"}
	ben = approvals.Person{ID: "ben", Name: "Ben", Slack: "U0BEN"}
)

const (
	baseID  = "KS-4G7QX2M9ZT0B"
	undoID  = "KS-9N3VB6W1HCPA"
	account = "222222222222"
)

var asked = time.Date(2026, 11, 2, 2, 14, 5, 0, time.UTC)
