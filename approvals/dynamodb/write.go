package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Write implements approvals.Store.
//
// If the answer to a write is lost, the client sends the write again, and the second
// one finds the version of the first. That is a success, not a conflict. Therefore each
// Write has a random ID. A single row is written with PutItem and keeps the ID in an
// attribute; with a failed condition DynamoDB returns the stored row, and if it has our
// ID the write was ours. A deleted row can't keep an ID, so deletions are transactions,
// and so are writes of several rows: their ID is the transaction's token, which
// DynamoDB remembers for ten minutes, and answers a repeated transaction with success.
//
// One case remains: the answer of a PutItem was lost, and before the client's next
// attempt somebody else wrote the row, or kept it busy with transactions until the last
// attempt. Then Write returns ErrConflict though its write is part of the row's
// history; a reader of the row sees it. After any other error the rows may or may not
// be written.
func (s *Store) Write(ctx context.Context, puts ...approvals.Put) error {
	if err := approvals.CheckPuts(puts); err != nil {
		return err
	}
	if len(puts) == 0 {
		return nil
	}
	id := rand.Text()
	items, split := make([]item, len(puts)), make([]parts, len(puts))
	for i, p := range puts {
		if p.Delete {
			continue
		}
		var err error
		if items[i], err = s.encode(p, id); err != nil {
			return err
		}
		split[i] = separate(items[i], p)
	}
	for i, p := range puts {
		if err := s.writeParts(ctx, split[i], p); err != nil {
			return err
		}
	}
	err := s.write(ctx, puts, items, id)
	s.tidy(ctx, puts, split, err)
	return err
}

// write writes items, which are nil for deletions.
func (s *Store) write(ctx context.Context, puts []approvals.Put, items []item, id string) error {
	var err error
	if len(puts) == 1 && !puts[0].Delete {
		err = s.put(ctx, puts[0], items[0])
	} else {
		err = s.transact(ctx, puts, items, id)
	}
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if ours(failed.Item, id) {
			return nil
		}
		return approvals.ErrConflict
	}
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok { // at every attempt
		return approvals.ErrConflict
	}
	if c, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return cancelled(err, c, puts, id)
	}
	return err
}

// ours reports whether an item was written by the Write with this ID.
func ours(it item, id string) bool {
	w, ok := it[attrWrite].(*types.AttributeValueMemberS)
	return ok && w.Value == id
}

// condition is the condition of a put, in the fields that all operations share.
func condition(version int64) (expression *string, values item) {
	if version == 0 {
		return aws.String("attribute_not_exists(pk)"), nil
	}
	return aws.String("v = :v"), item{":v": num(version)}
}

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

func (s *Store) put(ctx context.Context, p approvals.Put, it item) error {
	in := &ddb.PutItemInput{TableName: &s.table, Item: it, ReturnValuesOnConditionCheckFailure: allOld}
	in.ConditionExpression, in.ExpressionAttributeValues = condition(p.Version)
	if _, err := s.client.PutItem(ctx, in); err != nil {
		return fmt.Errorf("write row %s %s of %s: %w", p.Part, p.Sort, s.table, err)
	}
	return nil
}

func (s *Store) transact(ctx context.Context, puts []approvals.Put, items []item, id string) error {
	in := &ddb.TransactWriteItemsInput{ClientRequestToken: &id}
	for i, p := range puts {
		cond, values := condition(p.Version)
		if p.Delete {
			in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Delete: &types.Delete{
				TableName: &s.table, Key: key(p.Key),
				ConditionExpression: cond, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: allOld,
			}})
			continue
		}
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: &s.table, Item: items[i],
			ConditionExpression: cond, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: allOld,
		}})
	}
	if _, err := s.client.TransactWriteItems(ctx, in); err != nil {
		return fmt.Errorf("write %d rows of %s: %w", len(puts), s.table, err)
	}
	return nil
}

// Codes of types.CancellationReason.
const (
	reasonNone      = "None"
	reasonCondition = "ConditionalCheckFailed"
	reasonConflict  = "TransactionConflict"
)

// passing are the transient reasons.
var passing = map[string]bool{reasonConflict: true, "ThrottlingError": true, "ProvisionedThroughputExceeded": true}

// cancelled returns the error of a cancelled transaction. A failed condition counts
// more than any other reason: the rows are not as the writer thinks.
func cancelled(err error, c *types.TransactionCanceledException, puts []approvals.Put, id string) error {
	failed, busy := false, false
	var why []string
	for i, r := range c.CancellationReasons {
		switch code := aws.ToString(r.Code); code {
		case reasonNone, "":
			continue
		case reasonCondition:
			if ours(r.Item, id) {
				return nil // all rows or none: so all
			}
			failed = true
		case reasonConflict:
			busy = true
		default:
			if i < len(puts) {
				why = append(why, fmt.Sprintf("row %s %s: %s: %s", puts[i].Part, puts[i].Sort, code, aws.ToString(r.Message)))
			}
		}
	}
	if failed || busy && len(why) == 0 {
		return approvals.ErrConflict
	}
	return fmt.Errorf("%w: %s", err, strings.Join(why, "; "))
}
