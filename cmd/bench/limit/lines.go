package limit

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Lines writes frames, one a line, to out: for each line of in with a number and a length so
// many of that length, and then one that says that these were all.
func Lines(in io.Reader, out io.Writer) error {
	orders := bufio.NewScanner(in)
	for orders.Scan() {
		count, length, _ := strings.Cut(orders.Text(), " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return fmt.Errorf("want a number and a length, not %q", orders.Text())
		}
		size, err := strconv.Atoi(length)
		if err != nil {
			return fmt.Errorf("want a number and a length, not %q", orders.Text())
		}
		w := bufio.NewWriterSize(out, flushBytes)
		line := append(Sized(size), '\n')
		for range n {
			_, _ = w.Write(line) // Flush says what went wrong
		}
		_, _ = w.Write(append(last, '\n'))
		if err := w.Flush(); err != nil {
			return nil // the reader has left
		}
	}
	return orders.Err()
}

// UnixLines is Lines for one client of a Unix socket.
func UnixLines(socket string, out io.Writer) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintln(out, socket)
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	return Lines(c, c)
}
