package approvals

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Guard calls do and returns its error. It turns a panic into an error, and logs the
// stack with attr: one bad message or row must not stop the others.
func Guard(ctx context.Context, log *slog.Logger, attr slog.Attr, do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.ErrorContext(ctx, "panic", attr, slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return do()
}
