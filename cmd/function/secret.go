package function

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	secretFresh = 5 * time.Minute  // how long a value is cached
	secretStale = time.Hour        // how long it is used if Secrets Manager does not answer
	secretPause = 30 * time.Second // between two early reads of a rotated value
	secretGrace = 10 * time.Minute // how long the previous value counts after the current one was created
)

// Secret is a secret in Secrets Manager: its current value, and the previous one for
// secretGrace. Secrets Manager keeps the previous one until the next rotation; a leaked
// one must not count so long. Values are fetched on first use and cached in memory; they
// are never logged.
type Secret struct {
	client *secretsmanager.Client
	id     string
	now    func() time.Time
	empty  bool // a secret without a value is valid

	mu     sync.Mutex
	values []string
	until  time.Time // the previous value counts
	at     time.Time
}

// NewSecret names a secret; it is not fetched yet.
func NewSecret(cfg aws.Config, id string, now func() time.Time) *Secret {
	return &Secret{client: secretsmanager.NewFromConfig(cfg), id: id, now: now}
}

// MayBeEmpty makes a secret without a value valid: Values then returns none.
func (s *Secret) MayBeEmpty() *Secret {
	s.empty = true
	return s
}

// Values returns the valid values, the current one first.
func (s *Secret) Values(ctx context.Context) ([]string, error) { return s.get(ctx, secretFresh) }

// Refresh reads a rotated value before the cache expires, at most every secretPause.
func (s *Secret) Refresh(ctx context.Context) ([]string, error) { return s.get(ctx, secretPause) }

// String implements fmt.Stringer.
func (s *Secret) String() string { return "[redacted]" }

func (s *Secret) get(ctx context.Context, fresh time.Duration) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := s.now().Sub(s.at); s.values == nil || age >= fresh {
		err := s.fetch(ctx)
		if err != nil && (s.values == nil || age >= secretStale) {
			return nil, err
		}
	}
	if len(s.values) > 1 && !s.now().Before(s.until) {
		s.values = s.values[:1]
	}
	return s.values, nil
}

// fetch reads the values into the cache, which an error leaves as it is.
func (s *Secret) fetch(ctx context.Context) error {
	current, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.id})
	if s.empty && none(err) {
		s.values, s.at = []string{}, s.now()
		return nil
	}
	if err != nil {
		return fmt.Errorf("secret: %w", err)
	}
	values, until := []string{text(current)}, aws.ToTime(current.CreatedDate).Add(secretGrace)
	if values[0] == "" {
		return errors.New("secret: it is empty")
	}
	if s.now().Before(until) {
		previous, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.id, VersionStage: aws.String("AWSPREVIOUS")})
		if err == nil {
			values = append(values, text(previous))
		} else if !none(err) {
			return fmt.Errorf("previous secret: %w", err)
		}
	}
	s.values, s.until, s.at = values, until, s.now()
	return nil
}

// text is a secret's value without the space around it: who pastes it presses Enter, too.
func text(v *secretsmanager.GetSecretValueOutput) string {
	return strings.TrimSpace(aws.ToString(v.SecretString))
}

// none reports whether err means that there is no value.
func none(err error) bool {
	_, is := errors.AsType[*types.ResourceNotFoundException](err)
	return is
}
