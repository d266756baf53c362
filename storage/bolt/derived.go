package bolt

// Which buckets say nothing that journals, rows and answers do not say, so that they can
// be made anew, and what is in them.

// derived marks the indexes.
var derived = [buckets]bool{
	byUpdated: true, byCreated: true, reuse: true, busy: true, keysByTime: true, // of rows and answers
	turns: true, edits: true, // of journals
}

// listIndexes are those that are made of rows.
var listIndexes = []bucket{byUpdated, byCreated, reuse, busy}

// keys returns the keys that a row has in one of listIndexes.
func (l *listing) keys(b bucket, thread id) (keys [][]byte) {
	hashes, at := l.hashes, l.created
	switch b {
	case busy:
		if l.busy {
			return [][]byte{thread[:]}
		}
		return nil
	case byUpdated:
		at = l.updated
	case reuse:
		hashes = reuseHash(l)
	default: // byCreated
	}
	for _, h := range hashes {
		k := appendTime(append(make([]byte, 0, indexSize), h[:]...), at)
		keys = append(keys, append(k, thread[:]...))
	}
	return keys
}

// threadIn returns the thread that an entry of one of listIndexes names, nil if it names
// none.
func threadIn(b bucket, k []byte) []byte {
	switch {
	case b == busy && len(k) == 16:
		return k
	case b != busy && b != keysByTime && len(k) == indexSize:
		return k[24:]
	default:
		return nil
	}
}
