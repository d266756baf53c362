package bolt

// The points of a commit's way, in their order. A binary for tests, built with the tag
// spoolfault, can be stopped at each; in any other, reach is an empty function that the
// compiler leaves out. See hook_on.go.
const (
	pointBegin     = "begin"     // the transaction has begun
	pointPut       = "put"       // the records are in it, nothing is written to the file
	pointPages     = "pages"     // some of the data pages are in the file, not all
	pointWritten   = "written"   // all data pages are in the file, the meta page is not
	pointCommitted = "committed" // it is durable, nobody was told
	pointTold      = "told"      // done was called for this batch, not for those behind it
)
