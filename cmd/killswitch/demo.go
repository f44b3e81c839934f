package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
	pages "github.com/killswitch-chatops/killswitch/cmd/killswitch/demo"
)

// night is when the demo's stories begin.
var night = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// demo serves the page of the imaginary company, or plays a story in the terminal.
func demo(ctx context.Context, p program, args []string) error {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	inTerminal := f.Bool("script", false, "play the story in the terminal and exit")
	listen := f.String("listen", "127.0.0.1:8080", "address of the page")
	rest, err := parse(f, p, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, rest[0])
	}
	log := slog.New(slog.NewTextHandler(p.errout, &slog.HandlerOptions{Level: slog.LevelError}))
	if !*inTerminal {
		return servePage(ctx, p, *listen)
	}
	c, err := company.New(ctx, night, log)
	if err != nil {
		return err
	}
	defer c.Close()
	return script(ctx, p, c)
}

// servePage serves the company until the context ends. What Killswitch logs there
// is part of the play.
func servePage(ctx context.Context, p program, listen string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("%w: another --listen takes another address", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := pages.New(night, time.Now, slog.New(slog.DiscardHandler))
	server := &http.Server{Handler: d.Handler(listen), ReadHeaderTimeout: readHeaderWithin, ReadTimeout: readWithin, MaxHeaderBytes: 32 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx }}
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		failed = d.Run(ctx)
		cancel()
	})
	wg.Go(func() {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		_ = server.Shutdown(stop)
	})
	_, _ = fmt.Fprintf(p.out, "The imaginary company is at http://%s (Ctrl-C ends it)\n", address(listener.Addr().String()))
	err = server.Serve(listener)
	cancel()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return failed
	}
	return errors.Join(err, failed)
}

// address is where a browser finds what listens there.
func address(on string) string {
	host, port, err := net.SplitHostPort(on)
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return on
}
