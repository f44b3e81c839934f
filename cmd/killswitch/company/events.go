package company

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// events are AWS events of the company, of real shape. $NAME is a placeholder.
//
//go:embed events
var events embed.FS

// EmitEvent lets EventBridge bring one of the company's events, after a delay.
// Values are what stands for its names, beside those that every event has. The
// event's and the finding's IDs follow from file and values.
func (c *Company) EmitEvent(ctx context.Context, file string, delay time.Duration, values map[string]string) error {
	body, err := events.ReadFile("events/" + file + ".json")
	if err != nil {
		return err
	}
	now := c.Now().Add(delay).UTC()
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %v", file, values))
	id := hex.EncodeToString(sum[:16])
	names := []string{
		"$EVENT", id[:8] + "-" + id[8:12] + "-5" + id[13:16] + "-9" + id[17:20] + "-" + id[20:32], "$FINDING", id,
		"$FIRST", now.Add(-10 * time.Minute).Format(time.RFC3339), "$NOWMS", strconv.FormatInt(now.UnixMilli(), 10),
		"$LATERMS", strconv.FormatInt(now.AddDate(0, 0, 5).UnixMilli(), 10), "$NOW", now.Format(time.RFC3339),
	}
	for name, value := range values {
		names = append(names, "$"+name, value)
	}
	if err := c.alerts.Send(ctx, []byte(strings.NewReplacer(names...).Replace(string(body))), delay); err != nil {
		return err
	}
	_ = c.Settle(ctx) // what failed is tried again
	return ctx.Err()
}
