package function

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

const (
	secretFresh = 5 * time.Minute  // how long a value is used without asking again
	secretStale = time.Hour        // how long it is used when Secrets Manager does not answer
	secretPause = 30 * time.Second // between two early looks for a rotated value
)

// Secret is a secret in Secrets Manager: its current value, and while the
// previous one is staged that too. A value is fetched when it is first needed
// and kept in memory; it is never logged.
type Secret struct {
	client *secretsmanager.Client
	id     string
	now    func() time.Time
	empty  bool // no value is one, too: nothing

	mu     sync.Mutex
	values []string
	at     time.Time
}

// NewSecret names a secret; it is not fetched yet.
func NewSecret(cfg aws.Config, id string, now func() time.Time) *Secret {
	return &Secret{client: secretsmanager.NewFromConfig(cfg), id: id, now: now}
}

// MayBeEmpty says that a secret without a value is no trouble: it has no values.
func (s *Secret) MayBeEmpty() *Secret {
	s.empty = true
	return s
}

// Values are the values that count, the current one first.
func (s *Secret) Values(ctx context.Context) ([]string, error) { return s.get(ctx, secretFresh) }

// Refresh looks for a rotated value before its time, but not all the time.
func (s *Secret) Refresh(ctx context.Context) ([]string, error) { return s.get(ctx, secretPause) }

// String implements fmt.Stringer.
func (s *Secret) String() string { return "[redacted]" }

func (s *Secret) get(ctx context.Context, fresh time.Duration) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	age := s.now().Sub(s.at)
	if s.values != nil && age < fresh {
		return s.values, nil
	}
	values, err := s.fetch(ctx)
	switch {
	case err == nil:
		s.values, s.at = values, s.now()
	case s.values != nil && age < secretStale:
	default:
		return nil, err
	}
	return s.values, nil
}

func (s *Secret) fetch(ctx context.Context) ([]string, error) {
	current, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.id})
	if s.empty && none(err) {
		return []string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	values := []string{aws.ToString(current.SecretString)}
	if values[0] == "" {
		return nil, errors.New("secret: it is empty")
	}
	previous, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.id, VersionStage: aws.String("AWSPREVIOUS")})
	if err == nil {
		return append(values, aws.ToString(previous.SecretString)), nil
	}
	if none(err) {
		return values, nil
	}
	return nil, fmt.Errorf("previous secret: %w", err)
}

// none reports whether there is no such value.
func none(err error) bool {
	_, is := errors.AsType[*types.ResourceNotFoundException](err)
	return is
}
