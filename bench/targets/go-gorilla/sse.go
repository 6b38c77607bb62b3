package main

import (
	"fmt"
	"net/http"
)

// stream is the event stream of one client.
func (s *server) stream(w http.ResponseWriter, r *http.Request) {
	subscription, err := s.subscribe(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer subscription.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	flusher := w.(http.Flusher)
	fmt.Fprint(w, "event: connected\ndata: {}\n\n")
	if newest := s.newest.Load(); newest != nil {
		fmt.Fprintf(w, "data: %s\n\n", *newest)
	}
	flusher.Flush()
	updates := subscription.Channel()
	for {
		select {
		case <-r.Context().Done():
			return
		case message := <-updates:
			fmt.Fprintf(w, "data: %s\n\n", message.Payload)
			flusher.Flush()
		}
	}
}
