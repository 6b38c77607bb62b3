# frozen_string_literal: true

# What one writes with Rails: ActionController::Live for the event stream, Action Cable over Redis, both on Puma.
#
#   REDIS_URL=redis://127.0.0.1:6379/0 KIND=log puma -b tcp://127.0.0.1:4000 -t 8:2048 bench/targets/rails-puma/config.ru
#
# Live holds a thread of Puma's and one of its own for each client, as long as it listens: with Puma's usual maximum of
# five threads the sixth client waits for ever. Action Cable hands each update to a pool of ten threads that overtake
# each other, which no setting changes: updates that are published close together may arrive in another order.

require "action_controller/railtie"
require "action_cable/engine"
require "redis"

CHANNEL = "bench"

# Puma 5 corks the socket of each response (TCP_CORK): the kernel holds a small event back for up to 200 ms.
Puma::Server.class_eval { def cork_socket(_socket) = nil } if ENV["CORK"] == "off"

class Dashboard < Rails::Application
  config.load_defaults 6.1
  config.root = __dir__
  config.eager_load = true
  config.secret_key_base = "of a server that lives for seconds, on loopback"
  config.logger = Logger.new($stdout)
  config.log_level = :warn
  config.action_cable.cable = { "adapter" => "redis", "url" => ENV.fetch("REDIS_URL") }
  config.action_cable.mount_path = "/cable"
  config.action_cable.disable_request_forgery_protection = true
end

# The newest update, kept when the stream is a state.
class Newest
  class << self
    attr_reader :text

    def keep
      subscribed = Queue.new
      Thread.new do
        Redis.new(url: ENV.fetch("REDIS_URL")).subscribe(CHANNEL) do |on|
          on.subscribe { subscribed << true }
          on.message { |_, text| @text = text }
        end
      end
      subscribed.pop
    end
  end
end

class StreamsController < ActionController::Base
  include ActionController::Live

  def show
    response.headers["Content-Type"] = "text/event-stream"
    response.headers["Last-Modified"] = Time.now.httpdate # without it Rack::ETag waits for the whole body
    redis = Redis.new(url: ENV.fetch("REDIS_URL"), read_timeout: 0)
    events = SSE.new(response.stream)
    redis.subscribe(CHANNEL) do |on|
      on.subscribe { greet(events) }
      on.message { |_, text| events.write(text) }
    end
  rescue ActionController::Live::ClientDisconnected, IOError
    # A client that left: the next write finds out.
  ensure
    redis&.close
    response.stream.close
  end

  private

  def greet(events)
    events.write("{}", event: "connected")
    events.write(Newest.text) if Newest.text
  end
end

class DashboardUpdatesChannel < ActionCable::Channel::Base
  def subscribed
    stream_from CHANNEL
    transmit(JSON.parse(Newest.text)) if Newest.text
  end
end

Dashboard.initialize!
Dashboard.routes.draw do
  get "/dashboard/stream", to: "streams#show"
  get "/up", to: ->(_) { [200, {}, []] }
end
Newest.keep if ENV["KIND"] == "state"

run Dashboard
