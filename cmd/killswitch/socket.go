package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/killswitch-chatops/killswitch/bot/ingress"
)

// receive keeps a Socket Mode connection and passes what comes over it to
// ingress; an envelope is acknowledged when it is stored.
func receive(ctx context.Context, api *slack.Client, in *ingress.Ingress, log *slog.Logger) error {
	client := socketmode.New(api)
	socket := &ingress.Socket{Ingress: in}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case event := <-client.Events:
				take(ctx, client, socket, event, log)
			}
		}
	}()
	return client.RunContext(ctx)
}

func take(ctx context.Context, client *socketmode.Client, socket *ingress.Socket, event socketmode.Event, log *slog.Logger) {
	req := event.Request
	if bad, ok := event.Data.(*socketmode.ErrorBadMessage); ok {
		// The library could not decode all of it; we need less than all.
		req = &socketmode.Request{}
		if json.Unmarshal(bad.Message, req) != nil {
			req = nil
		}
	}
	if req == nil || req.EnvelopeID == "" {
		return
	}
	ack, err := socket.Take(ctx, req.Type, req.Payload)
	if err != nil {
		log.ErrorContext(ctx, "envelope not taken", slog.String("type", req.Type), slog.String("error", err.Error()))
		return
	}
	if err := client.AckCtx(ctx, req.EnvelopeID, ack); err != nil {
		log.WarnContext(ctx, "envelope not acknowledged", slog.String("error", err.Error()))
	}
}
