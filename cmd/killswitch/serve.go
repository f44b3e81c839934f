package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// defaultRegion is where STS is asked if the environment names no region.
const defaultRegion = "us-east-1"

// serve runs all zones until it is told to stop.
func serve(ctx context.Context, p program, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	file := f.String("config", "", "the configuration `FILE`")
	data := f.String("data", "", "the `DIR`ectory for tables and queues; made if missing")
	listen := f.String("listen", "127.0.0.1:8080", "the `ADDR`ess that Slack's requests reach, behind TLS")
	public := f.String("url", "", "the `URL` at which Slack's requests reach it, without /slack: the daily check looks there; left out, at its own address")
	socketMode := f.Bool("socket-mode", false, "let Slack's requests come over a connection that we open; wants SLACK_APP_TOKEN, and slack.socket_mode: true in the configuration")
	rest, err := parse(f, p, args)
	if err != nil {
		return err
	}
	app := secret(p.env("SLACK_APP_TOKEN"))
	signing, token, hooks := secret(p.env("SLACK_SIGNING_SECRET")), secret(p.env("SLACK_BOT_TOKEN")), secret(p.env("KILLSWITCH_WEBHOOK_KEYS"))
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%w: unexpected %q", errUsage, rest)
	case *file == "" || *data == "":
		return fmt.Errorf("%w: --config and --data are needed", errUsage)
	case signing == "" || token == "":
		return errors.New("SLACK_SIGNING_SECRET and SLACK_BOT_TOKEN must be set in the environment (Slack app settings: Basic Information, and OAuth & Permissions)")
	}
	if u, err := url.Parse(*public); *public != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("%w: --url is not an address like https://killswitch.example.com", errUsage)
	}
	if *socketMode && app == "" {
		return errors.New("SLACK_APP_TOKEN must be set in the environment for --socket-mode (Slack app settings: Basic Information, App-Level Tokens, scope connections:write)")
	}
	c, err := config.Load(*file)
	if err != nil {
		return err
	}
	if *socketMode && !c.SocketMode {
		return fmt.Errorf("%s does not allow --socket-mode, where Slack signs nothing of what people do: set slack.socket_mode: true there, and every card says so", *file)
	}
	log := slog.New(slog.NewJSONHandler(p.errout, nil))
	if _, err := ingress.ParseKeys(string(hooks)); err != nil {
		return fmt.Errorf("KILLSWITCH_WEBHOOK_KEYS in the environment: %w", err)
	}
	region := p.env("AWS_REGION")
	if region == "" {
		region = p.env("AWS_DEFAULT_REGION")
	}
	if region == "" {
		region = firstOr(c.Org.Regions, defaultRegion)
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region))
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	db, err := openDatabase(*data)
	if err != nil {
		return err
	}
	backends, err := local.InFile(db, time.Now)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	zones := local.New(local.Environment{
		Config: c, SigningSecret: string(signing), BotToken: string(token), WebhookKeys: string(hooks), SlackAPI: p.env("SLACK_API_URL"),
		AWS: cfg, Now: time.Now, Sleep: approvals.Sleep, Log: log,
	}, backends)
	api := slack.New(string(token), slackOptions(app, p.env("SLACK_API_URL"))...)
	zones.Bot.IngressURL = *public
	go (&hello{c: c, hooks: hooks, bot: zones.Bot, executor: zones.Executor, aws: cfg, region: region, log: log}).say(ctx)
	var receiver func(context.Context) error
	if *socketMode {
		receiver = func(ctx context.Context) error { return receive(ctx, api, zones.Ingress, log) }
	}
	backUp(ctx, db, filepath.Join(*data, backupFile), log) // as an earlier version left it
	go backups(ctx, db, filepath.Join(*data, backupFile), log)
	ended := make(chan error, 1)
	go func() { ended <- serveZones(ctx, *listen, p.env("NOTIFY_SOCKET"), zones, receiver, log) }()
	select {
	case err = <-ended:
		return errors.Join(err, db.Close())
	case err = <-db.Damaged(): // what has begun may hang now: the process ends
		return repair(*data, err)
	}
}

// cliPath takes what people sign at the command line; ingress has the other paths.
const cliPath = "/cli"

const (
	readHeaderWithin = 5 * time.Second
	readWithin       = 10 * time.Second
	idleWithin       = 2 * time.Minute // longer than a proxy in front keeps a connection for the next request
	maxHeader        = 16 << 10
	stopWithin       = 5 * time.Second // for requests; what zones have begun ends in its own time
	reconnectAfter   = 5 * time.Second // when a Socket Mode connection could not be kept
)

func serveZones(ctx context.Context, addr, systemd string, zones *local.Zones, receiver func(context.Context) error, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	routes := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == cliPath {
			zones.CommandLine.ServeHTTP(w, req)
			return
		}
		zones.Ingress.ServeHTTP(w, req)
	})
	server := &http.Server{Handler: routes, ReadHeaderTimeout: readHeaderWithin, ReadTimeout: readWithin, WriteTimeout: readWithin, IdleTimeout: idleWithin, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) }}
	(&connections{most: mostConnections}).bound(server)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if zones.Bot.IngressURL == "" {
		zones.Bot.IngressURL = ownURL(listener.Addr())
	}
	var wg sync.WaitGroup
	wg.Go(func() { zones.Run(ctx) })
	if receiver != nil {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := receiver(ctx)
				if ctx.Err() != nil {
					return
				}
				log.ErrorContext(ctx, "socket mode", slog.Any("error", err))
				_ = approvals.Sleep(ctx, reconnectAfter)
			}
		})
	}
	wg.Go(func() {
		<-ctx.Done()
		_ = notifySystemd(systemd, "STOPPING=1")
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			log.ErrorContext(ctx, "shutdown", slog.String("error", err.Error()))
		}
	})
	log.InfoContext(ctx, "serving", slog.String("address", listener.Addr().String()))
	if err := notifySystemd(systemd, "READY=1"); err != nil {
		log.WarnContext(ctx, "systemd is not told", slog.String("error", err.Error()))
	}
	err = server.Serve(listener)
	cancel()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// ownURL is where we answer this machine.
func ownURL(at net.Addr) string {
	host, port, _ := net.SplitHostPort(at.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func firstOr(s []string, otherwise string) string {
	if len(s) > 0 {
		return s[0]
	}
	return otherwise
}
