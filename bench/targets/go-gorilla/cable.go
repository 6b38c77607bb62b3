package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const pingEvery = 3 * time.Second

// client is one cable. gorilla allows one writer at a time, and there are three: welcome and ping, confirm, updates.
type client struct {
	socket *websocket.Conn
	mutex  sync.Mutex
}

func (c *client) send(text string) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.socket.WriteMessage(websocket.TextMessage, []byte(text))
}

// cable is one client of Action Cable, from its upgrade to its end.
func (s *server) cable(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{
		Subprotocols:      []string{"actioncable-v1-json"},
		EnableCompression: s.deflates,
	}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	defer socket.Close()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	c := &client{socket: socket}
	if c.send(`{"type":"welcome"}`) != nil {
		return
	}
	go c.ping(ctx)
	s.obey(ctx, c)
}

func (c *client) ping(ctx context.Context) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if c.send(fmt.Sprintf(`{"type":"ping","message":%d}`, now.Unix())) != nil {
				return
			}
		}
	}
}

// obey reads commands until the client leaves.
func (s *server) obey(ctx context.Context, c *client) {
	for {
		var command struct{ Command, Identifier string }
		if c.socket.ReadJSON(&command) != nil {
			return
		}
		if command.Command == "subscribe" {
			go s.deliver(ctx, c, command.Identifier)
		}
	}
}

// deliver confirms a subscription and writes its updates until the client leaves.
func (s *server) deliver(ctx context.Context, c *client, identifier string) {
	subscription, err := s.subscribe(ctx)
	if err != nil {
		return
	}
	defer subscription.Close()
	key, _ := json.Marshal(identifier) // a string always has a JSON text
	confirm := fmt.Sprintf(`{"identifier":%s,"type":"confirm_subscription"}`, key)
	if c.send(confirm) != nil {
		return
	}
	if newest := s.newest.Load(); newest != nil && c.send(message(key, *newest)) != nil {
		return
	}
	updates := subscription.Channel()
	for {
		select {
		case <-ctx.Done():
			return
		case update := <-updates:
			if c.send(message(key, update.Payload)) != nil {
				return
			}
		}
	}
}

func message(key []byte, text string) string {
	return fmt.Sprintf(`{"identifier":%s,"message":%s}`, key, text)
}
