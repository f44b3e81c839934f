// Package dynamodb keeps a table in Amazon DynamoDB.
//
// The table has the string keys pk and sk. For each mark there is a global
// secondary index of the mark's name, with the string keys mark_NAME and mk and
// all attributes projected. The attribute ttl may be switched on as the table's
// time to live: rows with Row.Expires then vanish some days after it. The bodies of
// large rows are in further items, see parts.go.
//
// An index has only rows with both of its keys, so it is sparse: mark_NAME is the
// constant "1" on rows with the mark, mk is the row's partition and sort key, and one
// Query reads the marked rows in order. A mark is one partition of its index, which
// takes 1,000 write units a second. There are hundreds of open requests at most, of a
// few kilobytes and a few writes a minute each; with several partitions the order would
// be lost. Whole rows are projected, because the sweep needs their bodies: some
// megabytes stored twice are cheaper than a second read for every row.
package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// The attributes of a row.
const (
	attrPart    = "pk"
	attrSort    = "sk"
	attrVersion = "v"
	attrBody    = "b"
	attrExpires = "ttl"   // seconds since 1970
	attrWrite   = "w"     // the ID of the Write that wrote the row
	attrMarked  = "mk"    // on marked rows: partition, separator, sort key
	attrMark    = "mark_" // and the mark's name
	markedValue = "1"
	separator   = "\x00" // sorts below every character of a partition's name
)

// Store is one table; it is an approvals.Store.
type Store struct {
	client *ddb.Client
	table  string
	marks  []string

	mu    sync.Mutex
	parts map[approvals.Key]parts // of rows as they were read or written last
}

// New uses a table, which must exist and have an index for each of the marks.
// The client should have been made with ClientOptions.
func New(client *ddb.Client, table string, marks ...string) *Store {
	return &Store{client: client, table: table, marks: marks, parts: map[approvals.Key]parts{}}
}

// Get implements approvals.Store.
func (s *Store) Get(ctx context.Context, k approvals.Key) (approvals.Row, error) {
	it, err := s.item(ctx, k)
	if err != nil {
		return approvals.Row{}, err
	}
	return s.whole(ctx, it)
}

// Rows implements approvals.Store.
func (s *Store) Rows(ctx context.Context, part, prefix, after string, limit int) ([]approvals.Row, error) {
	in := &ddb.QueryInput{
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :p"),
		ExpressionAttributeValues: item{":p": str(part)},
	}
	// A query takes one condition on the sort key. BETWEEN includes its ends, so after itself is dropped from
	// the answer; it refuses ends that are the wrong way round and an empty string.
	from, to := max(prefix, after), prefix+"\U0010FFFF"
	if from > to {
		return nil, nil
	}
	if from != "" {
		in.KeyConditionExpression = aws.String("pk = :p AND sk BETWEEN :from AND :to")
		in.ExpressionAttributeValues[":from"], in.ExpressionAttributeValues[":to"] = str(from), str(to)
	}
	return s.query(ctx, in, limit, func(r approvals.Row) bool { return r.Sort > after })
}

// Marked implements approvals.Store.
func (s *Store) Marked(ctx context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	return s.query(ctx, &ddb.QueryInput{
		IndexName:                 &mark,
		KeyConditionExpression:    aws.String("#mark = :marked AND mk > :after"),
		ExpressionAttributeNames:  map[string]string{"#mark": attrMark + mark},
		ExpressionAttributeValues: item{":marked": str(markedValue), ":after": str(marked(after))},
	}, limit, func(approvals.Row) bool { return true })
}

// query reads pages until it has limit rows, or all.
func (s *Store) query(ctx context.Context, in *ddb.QueryInput, limit int, want func(approvals.Row) bool) ([]approvals.Row, error) {
	var rows []approvals.Row
	in.TableName = &s.table
	for len(rows) < limit {
		in.Limit = aws.Int32(int32(min(limit-len(rows)+1, 1000))) //nolint:gosec // 1,000 at most
		page, err := s.client.Query(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", s.table, err)
		}
		for _, it := range page.Items {
			row, err := s.whole(ctx, it)
			if errors.Is(err, approvals.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if want(row) && len(rows) < limit {
				rows = append(rows, row)
			}
		}
		if len(page.LastEvaluatedKey) == 0 {
			break
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
	return rows, nil
}

// Parts implements approvals.Lister. It reads the keys of the whole table.
func (s *Store) Parts(ctx context.Context, prefixes ...string) ([]string, error) {
	in := &ddb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String(attrPart),
		ExpressionAttributeValues: item{}}
	var conditions []string
	for i, p := range prefixes {
		name := ":p" + strconv.Itoa(i)
		conditions = append(conditions, "begins_with("+attrPart+", "+name+")")
		in.ExpressionAttributeValues[name] = str(p)
	}
	in.FilterExpression = aws.String(strings.Join(conditions, " OR "))
	found := map[string]bool{}
	for {
		page, err := s.client.Scan(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("scan %s: %w", s.table, err)
		}
		for _, it := range page.Items {
			if part, ok := it[attrPart].(*types.AttributeValueMemberS); ok {
				found[part.Value] = true
			}
		}
		if len(page.LastEvaluatedKey) == 0 {
			return slices.Sorted(maps.Keys(found)), nil
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
	}
}

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func key(k approvals.Key) item { return item{attrPart: str(k.Part), attrSort: str(k.Sort)} }

func marked(k approvals.Key) string { return k.Part + separator + k.Sort }

// encode returns the item of a put.
func (s *Store) encode(p approvals.Put, write string) (item, error) {
	it := key(p.Key)
	it[attrVersion] = num(p.Version + 1)
	it[attrBody] = &types.AttributeValueMemberB{Value: p.Body}
	it[attrWrite] = str(write)
	if !p.Expires.IsZero() {
		it[attrExpires] = num(expiry(p.Expires))
	}
	for _, m := range p.Marks {
		if !slices.Contains(s.marks, m) {
			return nil, fmt.Errorf("row %s %s: table %s has no index for the mark %q", p.Part, p.Sort, s.table, m)
		}
		it[attrMark+m] = str(markedValue)
		it[attrMarked] = str(marked(p.Key))
	}
	return it, nil
}

// expiry is a time to live, rounded up.
func expiry(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

var errShape = errors.New("not a row of Killswitch")

func (s *Store) decode(it item) (approvals.Row, error) {
	var row approvals.Row
	part, ok1 := it[attrPart].(*types.AttributeValueMemberS)
	sort, ok2 := it[attrSort].(*types.AttributeValueMemberS)
	version, ok3 := it[attrVersion].(*types.AttributeValueMemberN)
	body, ok4 := it[attrBody].(*types.AttributeValueMemberB)
	if !ok1 || !ok2 || !ok3 || !ok4 && it[attrParts] == nil {
		return row, fmt.Errorf("an item of %s: %w", s.table, errShape)
	}
	row.Part, row.Sort = part.Value, sort.Value
	if ok4 {
		row.Body = body.Value
	}
	var err error
	if row.Version, err = strconv.ParseInt(version.Value, 10, 64); err != nil {
		return row, fmt.Errorf("row %s %s: %w", row.Part, row.Sort, err)
	}
	if expires, ok := it[attrExpires].(*types.AttributeValueMemberN); ok {
		seconds, err := strconv.ParseInt(expires.Value, 10, 64)
		if err != nil {
			return row, fmt.Errorf("row %s %s: %w", row.Part, row.Sort, err)
		}
		row.Expires = time.Unix(seconds, 0).UTC()
	}
	for _, m := range s.marks {
		if _, ok := it[attrMark+m]; ok {
			row.Marks = append(row.Marks, m)
		}
	}
	return row, nil
}

// size is how large an item is to DynamoDB, rounded up: a number takes a byte, and one for each two digits.
func size(it item) int {
	n := 0
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += len(v.Value) + 1
		}
	}
	return n
}
