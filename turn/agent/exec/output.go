package exec

import (
	"errors"
	"os"
	"time"
)

// mostLeft bounds what is read of an output after it was cut off, in bytes. It is as much as
// a pipe holds at most.
const mostLeft = 1 << 20

// output is what a program writes to a pipe. It ends when nobody has the pipe any more. As
// somebody may keep it for ever, it can be cut off: then it ends with what is in the pipe, and
// nothing that the program wrote before is lost, however slowly it is read.
type output struct {
	file *os.File
	last bool // it was cut off; of the goroutine that reads, as are all below
	left int  // how many bytes may still be read
}

// Read reads from the pipe. At the end of what was cut off its error is errClosed.
func (o *output) Read(p []byte) (int, error) {
	if !o.last {
		n, err := o.file.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		_ = o.file.SetReadDeadline(time.Time{}) // it would forbid what does not wait as well
		o.last, o.left = true, mostLeft
	}
	n := readNow(o.file, p[:min(len(p), o.left)])
	if n <= 0 {
		return 0, errClosed
	}
	o.left -= n
	return n, nil
}

// cut ends the output with what is in the pipe. Any goroutine may call it, once.
func (o *output) cut() {
	if err := o.file.SetReadDeadline(time.Unix(1, 0)); err != nil {
		closeAll(o.file) // a system where reading a pipe has no deadline
	}
}
