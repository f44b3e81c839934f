package main

import (
	"net"
	"strings"
)

// notifySystemd tells systemd about our state, where it waits for that: socket is NOTIFY_SOCKET.
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
func notifySystemd(socket, state string) error {
	if socket == "" {
		return nil
	}
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(state))
	return err
}
