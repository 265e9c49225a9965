// load appends to an audit log over HTTP as fast as its clients are answered, and says in JSON how fast that was.
//
// Each client is one connection and one source that numbers its entries; it sends the next batch when the last one was
// acknowledged, which means durable. Written in Go so that making the load takes little of the machine it shares with what is
// measured. With -probe a few more clients append single entries meanwhile, each with ?wait=checkpoint: the answer has the entry's
// proof under a signed checkpoint.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	base    = flag.String("url", "", "the log's address, such as http://127.0.0.1:8443/v1/logs/NAME")
	token   = flag.String("token", "", "file with the bearer token, of the pod named bench")
	run     = flag.String("run", "", "a word that no run on this log had before")
	clients = flag.Int("clients", 1, "connections at the same time")
	batch   = flag.Int("batch", 1, "entries in a request")
	seconds = flag.Float64("seconds", 5, "how long to send")
	warm    = flag.Float64("warm", 0.5, "seconds that are sent before and not counted")
	probe   = flag.Bool("probe", false, "measure the time from sending an entry to its signed checkpoint")
)

const probes = 2

// answered is one request: when its answer came, and how long that took.
type answered struct{ at, took time.Duration }

// sender is one connection, on which one request is answered before the next is sent. Written by hand: net/http's client costs
// as much of the machine as half of what is measured.
type sender struct {
	out    net.Conn
	in     *bufio.Reader
	head   string
	source string
	seq    int
	ids    uint64
	number int
}

func newSender(bearer string, number int) *sender {
	at, err := url.Parse(*base)
	if err != nil {
		fail(err)
	}
	out, err := net.Dial("tcp", at.Host)
	if err != nil {
		fail(err)
	}
	return &sender{
		out:    out,
		in:     bufio.NewReaderSize(out, 1<<16),
		head:   at.Path + "%s HTTP/1.1\r\nHost: " + at.Host + "\r\nAuthorization: Bearer " + bearer + "\r\nContent-Length: %d\r\n\r\n%s",
		source: fmt.Sprintf("cloister-operator/bench/%s-%d", *run, number),
		number: number,
	}
}

// id gives a new uuid7: milliseconds, then the run's and the client's and the entry's own numbers.
func (s *sender) id(at time.Time) string {
	s.ids++
	return fmt.Sprintf("%08x-%04x-7%03x-8%03x-%012x", at.UnixMilli()>>16, at.UnixMilli()&0xffff, s.number&0xfff, s.ids>>48&0xfff,
		uint64(os.Getpid())<<28&0xffff_ffff_ffff|s.ids&0xfff_ffff)
}

// body gives a batch of the operator's commonest entry: the intent to apply an object.
func (s *sender) body(count int) string {
	var made strings.Builder
	made.Grow(count * 420)
	now := time.Now().UTC()
	event := now.Format("2006-01-02T15:04:05.000000Z")
	made.WriteString(`{"entries":[`)
	for at := range count {
		if at > 0 {
			made.WriteByte(',')
		}
		made.WriteString(`{"id":"` + s.id(now) + `","event":"` + event + `","actor":{"type":"user","sub":"u-1","name":"Ana Ruiz"},`)
		made.WriteString(`"action":"operator:object:apply","phase":"intent","object":{"type":"ConfigMap","id":"app-config-`)
		made.WriteString(strconv.Itoa(s.seq % 97))
		made.WriteString(`","namespace":"tenant-acme-pharma"},"src":{"kind":"operator","id":"` + s.source + `","seq":`)
		made.WriteString(strconv.Itoa(s.seq))
		made.WriteString(`}}`)
		s.seq++
	}
	made.WriteString(`]}`)
	return made.String()
}

// post appends a batch and gives the answer. `query` begins with "?", or is empty.
func (s *sender) post(query, body string) []byte {
	if err := s.out.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		fail(err)
	}
	if _, err := fmt.Fprintf(s.out, "POST "+s.head, "/entries"+query, len(body), body); err != nil {
		fail(err)
	}
	status, data := s.answer()
	if status != "200" {
		fail(fmt.Errorf("%s: %.300s", status, data))
	}
	return data
}

// answer reads one answer: its status and its body, which the service always says the length of.
func (s *sender) answer() (string, []byte) {
	status, length := s.line()[len("HTTP/1.1 "):][:3], -1
	for line := s.line(); line != ""; line = s.line() {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "content-length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
	if length < 0 {
		fail(fmt.Errorf("%s: an answer of which the length is not said", status))
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(s.in, data); err != nil {
		fail(err)
	}
	return status, data
}

// line reads one line of an answer's head.
func (s *sender) line() string {
	line, err := s.in.ReadString('\n')
	if err != nil || len(line) > 4096 {
		fail(fmt.Errorf("no answer: %w", err))
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// send appends batches until the time is over.
func (s *sender) send(began time.Time) []answered {
	var all []answered
	end := began.Add(time.Duration((*warm + *seconds) * float64(time.Second)))
	for time.Now().Before(end) {
		body, start := s.body(*batch), time.Now()
		s.post("", body)
		all = append(all, answered{time.Since(began), time.Since(start)})
	}
	return all
}

// wait appends single entries and waits until a signed checkpoint covers each; it gives the times from sending to that.
func (s *sender) wait(began time.Time, done <-chan struct{}) []answered {
	var all []answered
	for {
		select {
		case <-done:
			return all
		case <-time.After(10 * time.Millisecond):
		}
		start := time.Now()
		data := s.post("?wait=checkpoint", s.body(1))
		var said struct{ Entries []struct{ Proof string } }
		if err := json.Unmarshal(data, &said); err != nil {
			fail(err)
		}
		if !strings.Contains(said.Entries[0].Proof, "\n\u2014 ") {
			fail(fmt.Errorf("no signed checkpoint in %.300s", data))
		}
		all = append(all, answered{time.Since(began), time.Since(start)})
	}
}

func main() {
	flag.Parse()
	secret, err := os.ReadFile(*token)
	if err != nil {
		fail(err)
	}
	bearer := strings.TrimSpace(string(secret))
	sent := make([][]answered, *clients)
	var sending, probing sync.WaitGroup
	var lags [probes][]answered
	done := make(chan struct{})
	began := time.Now()
	for number := range *clients {
		sending.Go(func() { sent[number] = newSender(bearer, number).send(began) })
	}
	if *probe {
		for number := range probes {
			probing.Go(func() { lags[number] = newSender(bearer, *clients+number).wait(began, done) })
		}
	}
	sending.Wait()
	close(done)
	probing.Wait()
	report(slices.Concat(sent...), slices.Concat(lags[:]...))
}

// counted gives the times of what was answered after the warm-up, or `sent` after it, and before the time was over.
func counted(all []answered, sent bool) []time.Duration {
	first := time.Duration(*warm * float64(time.Second))
	last := first + time.Duration(*seconds*float64(time.Second))
	var took []time.Duration
	for _, each := range all {
		begun := each.at
		if sent {
			begun -= each.took
		}
		if begun >= first && each.at < last {
			took = append(took, each.took)
		}
	}
	return took
}

// report prints what was acknowledged, and how long the probes waited.
func report(all, probed []answered) {
	took, lags := counted(all, false), counted(probed, true)
	facts := map[string]any{"clients": *clients, "batch": *batch, "requests": len(took), "entries": len(took) * *batch}
	facts["perSecond"] = float64(len(took)**batch) / *seconds
	facts["p50"], facts["p99"] = percentile(took, 0.5), percentile(took, 0.99)
	if *probe {
		facts["probes"] = len(lags)
		facts["signed50"], facts["signed99"] = percentile(lags, 0.5), percentile(lags, 0.99)
		facts["signedMost"] = percentile(lags, 1)
	}
	out := bufio.NewWriter(os.Stdout)
	if err := json.NewEncoder(out).Encode(facts); err != nil {
		fail(err)
	}
	if err := out.Flush(); err != nil {
		fail(err)
	}
}

// percentile gives milliseconds.
func percentile(all []time.Duration, share float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(float64(len(all))*share))].Seconds() * 1e3
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
