package scenario_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"

	"github.com/coder/websocket"
)

// wire is one connection to the daemon as a stream of messages.
type wire interface {
	Send(message []byte) error
	Receive() ([]byte, error) // io.EOF or another error at the end
	Close() error             // the friendly end
	Drop() error              // the sudden end: a reset, a killed process
}

// lines is a wire with one message a line.
type lines struct {
	in   *bufio.Reader
	out  io.Writer
	mu   sync.Mutex
	end  func() error
	drop func() error
}

func (l *lines) Send(message []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.out.Write(append(message[:len(message):len(message)], '\n'))
	return err
}

func (l *lines) Receive() ([]byte, error) {
	line, err := l.in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return line[:len(line)-1], nil
}

func (l *lines) Close() error { return l.end() }
func (l *lines) Drop() error  { return l.drop() }

func dialUnix(ctx context.Context, path string) (wire, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return &lines{in: bufio.NewReaderSize(conn, 64<<10), out: conn, end: conn.Close, drop: conn.Close}, nil
}

// dialStdio runs the bridge, "spool stdio".
func dialStdio(env []string) (wire, error) {
	cmd := exec.Command(binary, "stdio", "--no-start")
	cmd.Env = env
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var once sync.Once
	wait := func(stop func() error) func() error {
		return func() error {
			err := stop()
			once.Do(func() { _ = cmd.Wait() }) // also ends the reading side
			return err
		}
	}
	return &lines{in: bufio.NewReaderSize(out, 64<<10), out: in, end: wait(in.Close), drop: wait(cmd.Process.Kill)}, nil
}

// webSocket is a wire with one message a text frame.
type webSocket struct {
	conn *websocket.Conn
	tcp  *net.TCPConn
}

func dialWebSocket(ctx context.Context, url string, header http.Header) (wire, error) {
	w := &webSocket{}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				w.tcp = conn.(*net.TCPConn)
			}
			return conn, err
		},
	}}
	//nolint:bodyclose // Dial closes it
	conn, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%s: %w", resp.Status, err)
		}
		return nil, err
	}
	conn.SetReadLimit(-1)
	w.conn = conn
	return w, nil
}

func (w *webSocket) Send(message []byte) error {
	return w.conn.Write(context.Background(), websocket.MessageText, message)
}

func (w *webSocket) Receive() ([]byte, error) {
	kind, message, err := w.conn.Read(context.Background())
	if err == nil && kind != websocket.MessageText {
		err = errors.New("the daemon sent a binary frame")
	}
	return message, err
}

func (w *webSocket) Close() error {
	err := w.conn.Close(websocket.StatusNormalClosure, "")
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Drop resets the TCP connection.
func (w *webSocket) Drop() error {
	return errors.Join(w.tcp.SetLinger(0), w.tcp.Close())
}
