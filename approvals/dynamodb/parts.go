package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// DynamoDB takes 400 KB an item and 4 MB a transaction. The body of a larger row is kept
// in parts: items of partitions of their own, under a random name, which the row's item
// has. They are written before the row and never changed, so that a reader of the row
// finds all of them. When the row is written again or deleted they are emptied, with a
// time to live: that takes no right to delete. Parts remain if the process dies between
// the two, and if it is unknown whether the row was written.
const (
	maxInline = 32 << 10  // bytes of an item without parts: a transaction takes approvals.MaxPuts of them
	partSize  = 256 << 10 // bytes
	emptyFor  = time.Hour
)

// The attributes of an item whose body is in parts.
const (
	attrParts = "parts" // their name
	attrCount = "n"     // how many
)

// parts are the parts of one version of a row.
type parts struct {
	name    string
	count   int
	version int64 // of the row
}

func (p parts) key(i int) approvals.Key {
	return approvals.Key{Part: fmt.Sprintf("part#%s#%06d", p.name, i), Sort: "part"}
}

// partsOf reads the parts of an item; count is 0 if its body is not in parts.
func partsOf(it item, version int64) parts {
	name, _ := it[attrParts].(*types.AttributeValueMemberS)
	count, _ := it[attrCount].(*types.AttributeValueMemberN)
	if name == nil || count == nil {
		return parts{}
	}
	n, _ := strconv.Atoi(count.Value)
	return parts{name.Value, n, version}
}

// separate takes the body out of an item that is too large, and returns its parts.
func separate(it item, p approvals.Put) parts {
	if size(it) <= maxInline {
		return parts{}
	}
	ps := parts{rand.Text(), (len(p.Body) + partSize - 1) / partSize, p.Version + 1}
	delete(it, attrBody)
	it[attrParts], it[attrCount] = str(ps.name), num(int64(ps.count))
	return ps
}

// writeParts writes the body of a row in parts.
func (s *Store) writeParts(ctx context.Context, ps parts, p approvals.Put) error {
	for i := range ps.count {
		it := key(ps.key(i))
		it[attrBody] = &types.AttributeValueMemberB{Value: p.Body[i*partSize : min((i+1)*partSize, len(p.Body))]}
		if !p.Expires.IsZero() {
			it[attrExpires] = num(expiry(p.Expires))
		}
		if err := s.putPart(ctx, it); err != nil {
			return fmt.Errorf("write a part of row %s %s of %s: %w", p.Part, p.Sort, s.table, err)
		}
	}
	return nil
}

// putPart writes the item of a part. Its name is new, so there is no condition.
func (s *Store) putPart(ctx context.Context, it item) error {
	_, err := s.client.PutItem(ctx, &ddb.PutItemInput{TableName: &s.table, Item: it})
	return err
}

// errGone is returned for parts that were emptied.
var errGone = errors.New("a part of it is missing")

// join reads a body in parts.
func (s *Store) join(ctx context.Context, ps parts) (body []byte, err error) {
	for i := range ps.count {
		it, err := s.item(ctx, ps.key(i))
		if errors.Is(err, approvals.ErrNotFound) {
			return nil, errGone
		}
		if err != nil {
			return nil, err
		}
		part, ok := it[attrBody].(*types.AttributeValueMemberB)
		if !ok {
			return nil, errGone
		}
		body = append(body, part.Value...)
	}
	return body, nil
}

// whole returns the row of an item, with its body. A row that was written again
// meanwhile, so that its parts are gone, is read anew.
func (s *Store) whole(ctx context.Context, it item) (approvals.Row, error) {
	for last := ""; ; {
		row, err := s.decode(it)
		if err != nil {
			return row, err
		}
		ps := partsOf(it, row.Version)
		if ps.count == 0 {
			return row, nil
		}
		row.Body, err = s.join(ctx, ps)
		switch {
		case err == nil:
			s.remember(row.Key, ps)
			return row, nil
		case !errors.Is(err, errGone):
			return row, err
		case ps.name == last && !row.Expires.IsZero():
			return row, approvals.ErrNotFound // it expires, and DynamoDB deletes items in any order
		case ps.name == last:
			return row, fmt.Errorf("row %s %s of %s: %w", row.Part, row.Sort, s.table, err)
		}
		last = ps.name
		if it, err = s.item(ctx, row.Key); err != nil {
			return row, err
		}
	}
}

// remember keeps the parts of a row, as this process read or wrote them last, for the
// next write of the row: a writer knows the row's version from a read or a write.
func (s *Store) remember(k approvals.Key, ps parts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ps.count == 0 {
		delete(s.parts, k)
	} else {
		s.parts[k] = ps
	}
}

// tidy empties the parts that a write made superfluous: the old ones, or the new ones if
// another writer was faster.
func (s *Store) tidy(ctx context.Context, puts []approvals.Put, written []parts, failed error) {
	for i, p := range puts {
		s.mu.Lock()
		old := s.parts[p.Key]
		s.mu.Unlock()
		switch {
		case failed == nil:
			s.remember(p.Key, written[i])
			if old.version == p.Version {
				s.empty(ctx, old)
			}
		case errors.Is(failed, approvals.ErrConflict) && written[i].count > 0:
			it, err := s.item(ctx, p.Key) // the conflict may be with our own write, see Write
			if errors.Is(err, approvals.ErrNotFound) || err == nil && partsOf(it, 0).name != written[i].name {
				s.empty(ctx, written[i])
			}
		}
	}
}

// empty empties parts. If that fails they remain.
func (s *Store) empty(ctx context.Context, ps parts) {
	for i := range ps.count {
		it := key(ps.key(i))
		it[attrExpires] = num(expiry(time.Now().Add(emptyFor))) //nolint:forbidigo // DynamoDB compares it with its own clock
		_ = s.putPart(ctx, it)
	}
}

// item reads an item, consistently. It returns ErrNotFound if there is none.
func (s *Store) item(ctx context.Context, k approvals.Key) (item, error) {
	out, err := s.client.GetItem(ctx, &ddb.GetItemInput{TableName: &s.table, Key: key(k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.table, err)
	}
	if len(out.Item) == 0 {
		return nil, approvals.ErrNotFound
	}
	return out.Item, nil
}
