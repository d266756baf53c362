package bolt_test
import ("testing";"github.com/spoolhq/spool/storage/bolt";"fmt")
func BenchmarkZZ(b *testing.B) { bolt.Hist=[100]int{}; benchCommit(b,64,false); fmt.Println(bolt.Hist) }
