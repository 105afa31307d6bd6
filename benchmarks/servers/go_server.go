// Go's net/http, as its tutorials do it: a channel and a goroutine for each client, one Write and one Flush for each
// event, the text made once. One thread runs Go code, as everybody has one core. `go_server PORT FEED`
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

type value struct {
	Seq  int64  `json:"seq"`
	T    int64  `json:"t"`
	Text string `json:"text"`
}

type broker struct {
	lock    sync.RWMutex
	clients map[chan []byte]struct{}
	users   map[string]chan []byte
}

// A client that lags misses events, which it counts: as usual with channels, publishing waits for nobody.
func put(client chan []byte, event []byte) {
	select {
	case client <- event:
	default:
	}
}

func (b *broker) deliver(key string, event []byte) {
	b.lock.RLock()
	defer b.lock.RUnlock()
	if key != "all" {
		if client, ok := b.users[key]; ok {
			put(client, event)
		}
		return
	}
	for client := range b.clients {
		put(client, event)
	}
}

func (b *broker) stream(writer http.ResponseWriter, request *http.Request) {
	client := make(chan []byte, 256)
	user := ""
	b.lock.Lock()
	if strings.HasPrefix(request.URL.Path, "/users/") {
		user = "u" + strings.TrimPrefix(request.URL.Path, "/users/")
		b.users[user] = client
	} else {
		b.clients[client] = struct{}{}
	}
	b.lock.Unlock()
	defer func() {
		b.lock.Lock()
		defer b.lock.Unlock()
		delete(b.clients, client)
		if user != "" {
			delete(b.users, user)
		}
	}()
	writer.Header().Set("Content-Type", "text/event-stream")
	writer.Header().Set("Cache-Control", "no-cache")
	flusher := writer.(http.Flusher)
	flusher.Flush()
	heartbeat := time.NewTicker(15 * time.Second)
	defer heartbeat.Stop()
	for {
		select {
		case event := <-client:
			writer.Write(event)
		case <-heartbeat.C:
			writer.Write([]byte(":\n\n"))
		case <-request.Context().Done():
			return
		}
		flusher.Flush()
	}
}

func (b *broker) feed(port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go b.read(connection)
	}
}

func (b *broker) read(connection net.Conn) {
	lines := bufio.NewScanner(bufio.NewReaderSize(connection, 65536))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, text, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		var parsed value
		if json.Unmarshal(text, &parsed) != nil {
			continue
		}
		data, _ := json.Marshal(parsed)
		event := make([]byte, 0, len(data)+8)
		event = append(append(append(event, "data: "...), data...), "\n\n"...)
		b.deliver(string(key), event)
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	b := &broker{clients: map[chan []byte]struct{}{}, users: map[string]chan []byte{}}
	go b.feed(os.Args[2])
	http.HandleFunc("/events", b.stream)
	http.HandleFunc("/users/", b.stream)
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
