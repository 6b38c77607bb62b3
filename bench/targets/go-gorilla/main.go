// What one writes by hand in Go: net/http for the event stream, gorilla/websocket for Action Cable, go-redis behind
// both, and a Redis subscription of its own for every client.
//
//	go-gorilla -listen 127.0.0.1:4000 -redis 127.0.0.1:6379 -kind log
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

const channel = "bench"

// server is what all handlers share. newest is kept only when the stream is a state.
type server struct {
	redis    *redis.Client
	deflates bool
	newest   atomic.Pointer[string]
}

func main() {
	listen := flag.String("listen", "127.0.0.1:4000", "address to listen on")
	address := flag.String("redis", "127.0.0.1:6379", "address of Redis")
	kind := flag.String("kind", "log", "state: give each new client the newest update")
	deflate := flag.Bool("deflate", false, "agree to permessage-deflate")
	flag.Parse()

	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &server{redis: redis.NewClient(&redis.Options{Addr: *address}), deflates: *deflate}
	if *kind == "state" {
		subscription, err := s.subscribe(stopped)
		if err != nil {
			log.Fatal(err)
		}
		go s.keepNewest(subscription)
	}
	if err := serve(stopped, *listen, s.routes()); err != nil {
		log.Fatal(err)
	}
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dashboard/stream", s.stream)
	mux.HandleFunc("GET /cable", s.cable)
	mux.HandleFunc("GET /up", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// serve answers until it is told to stop, and then does not wait for streams that never end by themselves.
func serve(stopped context.Context, address string, handler http.Handler) error {
	web := &http.Server{Addr: address, Handler: handler}
	go func() {
		<-stopped.Done()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if web.Shutdown(ctx) != nil {
			web.Close()
		}
	}()
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// subscribe returns once Redis has confirmed: from then on nothing is missed.
func (s *server) subscribe(ctx context.Context) (*redis.PubSub, error) {
	subscription := s.redis.Subscribe(ctx, channel)
	if _, err := subscription.Receive(ctx); err != nil {
		subscription.Close()
		return nil, err
	}
	return subscription, nil
}

func (s *server) keepNewest(subscription *redis.PubSub) {
	for message := range subscription.Channel() {
		s.newest.Store(&message.Payload)
	}
}
