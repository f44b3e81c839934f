package awsfake

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// TestRecordTrail: a call is in the history under its key and its user, as CloudTrail spells it, without secrets;
// one that failed, with its code.
func TestRecordTrail(t *testing.T) {
	c := New(time.Now)
	c.Account("222222222222").AddUser(User{Name: "jo", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Keys: []AccessKey{{ID: "AKIAJOJOJOJOJOEXAMPLE"}}})
	c.RecordTrail()
	cfg := c.KeySession("AKIAJOJOJOJOJOEXAMPLE").Config()
	if _, err := iam.NewFromConfig(cfg).CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("jo")}); err != nil {
		t.Fatal(err)
	}
	_, _ = iam.NewFromConfig(cfg).CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("jo")}) // there is one
	for by, value := range map[trailtypes.LookupAttributeKey]string{trailtypes.LookupAttributeKeyAccessKeyId: "AKIAJOJOJOJOJOEXAMPLE", trailtypes.LookupAttributeKeyUsername: "jo"} {
		out, err := cloudtrail.NewFromConfig(cfg, func(o *cloudtrail.Options) { o.Region = "us-east-1" }).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{LookupAttributes: []trailtypes.LookupAttribute{{AttributeKey: by, AttributeValue: &value}}})
		if err != nil || len(out.Events) < 2 {
			t.Fatalf("%s: %+v, %v", by, out, err)
		}
		var key, user struct {
			ErrorCode        string
			ResponseElements struct{ AccessKey map[string]string }
			UserIdentity     struct{ Type, UserName string }
		}
		for i, r := range out.Events[len(out.Events)-2:] {
			into := map[int]any{0: &user, 1: &key}[i]
			if err := json.Unmarshal([]byte(*r.CloudTrailEvent), into); err != nil {
				t.Fatal(err)
			}
		}
		made := key.ResponseElements.AccessKey
		if key.ErrorCode != "" || made["userName"] != "jo" || made["accessKeyId"] == "" || made["secretAccessKey"] != "" || user.ErrorCode != "EntityAlreadyExists" || user.UserIdentity.Type != "IAMUser" {
			t.Errorf("%+v, %+v", key, user)
		}
	}
}
