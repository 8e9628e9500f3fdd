// Command link stands between client and server as a network would: it delays what passes by half
// a round trip each way, a new connection by one more round trip for its handshake, and counts.
//
// It prints the address that it listens on. For each line on its input it prints what has passed
// since the line before, as JSON; at the end of its input it stops.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"sync"
	"time"
)

// counts is what has passed: bytes as the client sees them, and HTTP requests.
type counts struct {
	Connections int64 `json:"connections"`
	Requests    int64 `json:"requests"`
	Sent        int64 `json:"sent"`
	Received    int64 `json:"received"`
}

// piece is what one read gave, and when the other end may have it.
type piece struct {
	data []byte
	due  time.Time
}

const (
	pieceSize = 1 << 16
	// inFlight bounds what is under way in one direction: 256 MiB, more than any link here holds.
	inFlight = 4096
)

var (
	requestLine = regexp.MustCompile(`^[A-Z]+ [^ \r\n]+ HTTP/1\.[01]\r\n`)
	mutex       sync.Mutex
	passed      counts
)

func count(change func(*counts)) {
	mutex.Lock()
	defer mutex.Unlock()
	change(&passed)
}

// carry moves bytes from one end to the other; see is told of each piece, due says when it arrives.
func carry(from, to *net.TCPConn, see func([]byte), due func() time.Time) {
	queue := make(chan piece, inFlight)
	go func() {
		defer close(queue)
		for {
			buffer := make([]byte, pieceSize)
			n, err := from.Read(buffer)
			if n > 0 {
				see(buffer[:n])
				queue <- piece{buffer[:n], due()}
			}
			if err != nil {
				return
			}
		}
	}()
	for each := range queue {
		time.Sleep(time.Until(each.due))
		if _, err := to.Write(each.data); err != nil {
			_ = from.CloseRead()
			break
		}
	}
	_ = to.CloseWrite()
	for range queue { // let the reader go
	}
}

func serve(client *net.TCPConn, target string, delay time.Duration) {
	defer client.Close()
	connected := time.Now().Add(2 * delay)
	dialled, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	server := dialled.(*net.TCPConn)
	defer server.Close()
	count(func(c *counts) { c.Connections++ })
	var turn sync.Mutex
	answered := true
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		defer both.Done()
		carry(client, server, func(data []byte) {
			turn.Lock()
			begins := answered && requestLine.Match(data)
			answered = answered && !begins
			turn.Unlock()
			count(func(c *counts) {
				c.Sent += int64(len(data))
				if begins {
					c.Requests++
				}
			})
		}, func() time.Time {
			now := time.Now()
			if now.Before(connected) {
				now = connected
			}
			return now.Add(delay)
		})
	}()
	go func() {
		defer both.Done()
		carry(server, client, func(data []byte) {
			turn.Lock()
			answered = true
			turn.Unlock()
			count(func(c *counts) { c.Received += int64(len(data)) })
		}, func() time.Time { return time.Now().Add(delay) })
	}()
	both.Wait()
}

func main() {
	target := flag.String("target", "", "the server's address")
	trip := flag.Duration("round-trip", 0, "the round trip that is simulated")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(client.(*net.TCPConn), *target, *trip/2)
		}
	}()
	input := bufio.NewReader(os.Stdin)
	for {
		if _, err := input.ReadString('\n'); err == io.EOF {
			return
		}
		mutex.Lock()
		line, _ := json.Marshal(passed)
		passed = counts{}
		mutex.Unlock()
		fmt.Println(string(line))
	}
}
