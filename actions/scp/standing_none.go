//go:build noaccounts

package scp

import "context"

// The bot plans nothing: without the clients of S3 and KMS it starts a millisecond sooner.

func (surveyor) buckets(context.Context) standing { return notHere("bucket") }

func (surveyor) keys(context.Context) standing { return notHere("key") }

func notHere(noun string) standing {
	return standing{noun: noun, unlisted: []string{"this program enters no account"}}
}
