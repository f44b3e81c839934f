package approvals

import (
	"context"
	"errors"
	"fmt"
)

// updateTries limits Update under contention: hundreds of clicks on one card at once.
const updateTries = 400

// Update reads a row, calls change and writes the rows that it returns. If somebody
// else wrote one of them in between, it starts again. If change returns an error,
// nothing is written, and the error is returned unchanged with the row.
func Update[T any](ctx context.Context, s Store, name string, read func() (T, error), change func(*T) ([]Put, error)) (T, error) {
	var none T
	for range updateTries {
		v, err := read()
		if err != nil {
			return none, err
		}
		puts, err := change(&v)
		if err != nil {
			return v, err
		}
		if err := s.Write(ctx, puts...); !errors.Is(err, ErrConflict) {
			return v, err
		}
		if err := ctx.Err(); err != nil {
			return v, err
		}
	}
	return none, fmt.Errorf("%s: %w", name, ErrConflict)
}
