package function_test

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/cmd/function"
)

// TestMessagesOfAPersonAreAGroup: SQS delivers those of a quiet one first. What is nobody's has no group.
func TestMessagesOfAPersonAreAGroup(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ MessageGroupID, MessageBody *string }
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &in)
		group := "none"
		if in.MessageGroupID != nil {
			group = *in.MessageGroupID
		}
		got = append(got, *in.MessageBody+" of "+group)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = fmt.Fprintf(w, `{"MessageId":"m","MD5OfMessageBody":"%x"}`, md5.Sum([]byte(*in.MessageBody)))
	}))
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
	cfg := function.AWS(func(k string) string { return env[k] })
	q := function.NewQueue(cfg, server.URL+"/111111111111/slack")
	for _, err := range []error{q.SendFor(t.Context(), "U01ALICE", []byte("a"), 0), q.SendFor(t.Context(), "", []byte("b"), 0), q.Send(t.Context(), []byte("c"), 0)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a of U01ALICE", "b of none", "c of none"}, got); diff != "" {
		t.Error(diff)
	}
}
