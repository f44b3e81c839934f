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
	secretFresh = 5 * time.Minute  // how long a value is cached
	secretStale = time.Hour        // how long it is used if Secrets Manager does not answer
	secretPause = 30 * time.Second // between two early reads of a rotated value
)

// Secret is a secret in Secrets Manager: its current value, and the previous one while
// it is staged. Values are fetched on first use and cached in memory; they are never
// logged.
type Secret struct {
	client *secretsmanager.Client
	id     string
	now    func() time.Time
	empty  bool // a secret without a value is valid

	mu     sync.Mutex
	values []string
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

// none reports whether err means that there is no value.
func none(err error) bool {
	_, is := errors.AsType[*types.ResourceNotFoundException](err)
	return is
}
