// Written by `python -m bench coefficients --write` from the result files that it names. Do not edit it.
globalThis.calculator = { ...globalThis.calculator, coefficients: {
 "measured": {
  "clients": 16000,
  "rate": 1.25,
  "size": 350,
  "write": 44410.0,
  "deliveries": 80000.0
 },
 "files": [
  {
   "file": "headline-again/burst.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/fanout.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/idle.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/large.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/publish.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/storm.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline-again/sweep.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/burst.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/fanout.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/idle.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/large.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/publish.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/storm.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "headline/sweep.json",
   "date": "2026-11-25",
   "commit": "4ed037d",
   "machine": "AMD EPYC, 2 cores"
  },
  {
   "file": "processes-earlier/processes.json",
   "date": "2026-11-29",
   "commit": "3ee6aa2",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "processes-earlier/publish-shared.json",
   "date": "2026-11-29",
   "commit": "3ee6aa2",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "processes/processes.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "processes/publish-shared.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine-earlier/fanout.json",
   "date": "2026-11-28",
   "commit": "68c2b21",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine-earlier/idle.json",
   "date": "2026-11-28",
   "commit": "68c2b21",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine-earlier/large.json",
   "date": "2026-11-28",
   "commit": "68c2b21",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine-earlier/storm.json",
   "date": "2026-11-28",
   "commit": "68c2b21",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine/fanout.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine/idle.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine/large.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  },
  {
   "file": "second-machine/storm.json",
   "date": "2026-11-30",
   "commit": "2903163",
   "machine": "Intel(R) Xeon(R) Processor, 2 cores"
  }
 ],
 "values": {
  "base": {
   "says": "memory of a process of two that serves nobody",
   "unit": "KiB",
   "value": 88440.0,
   "low": 88390.0,
   "high": 88510.0,
   "from": [
    {
     "file": "processes/processes.json",
     "of": "app-redis-postgres sse: memory at 0"
    },
    {
     "file": "processes/processes.json",
     "of": "app-redis-postgres cable: memory at 0"
    }
   ]
  },
  "publish": {
   "says": "CPU of a publish to nobody",
   "unit": "µs",
   "value": 1716.0,
   "low": 685.9,
   "high": 2416.0,
   "from": [
    {
     "file": "processes/publish-shared.json",
     "of": "app-redis-postgres-one sse: us_per_publish"
    },
    {
     "file": "processes-earlier/publish-shared.json",
     "of": "app-redis-postgres-one sse: us_per_publish"
    },
    {
     "file": "headline/publish.json",
     "of": "app sse: us_per_publish"
    },
    {
     "file": "headline-again/publish.json",
     "of": "app sse: us_per_publish"
    }
   ]
  },
  "relay": {
   "says": "CPU of each further process for an update",
   "unit": "µs",
   "value": 943.1,
   "low": 0.0,
   "high": 2730.0,
   "from": [
    {
     "file": "processes/processes.json",
     "of": "app-redis-postgres sse less app-redis-postgres-one sse: us_per_delivery"
    },
    {
     "file": "processes/processes.json",
     "of": "app-redis-postgres cable less app-redis-postgres-one cable: us_per_delivery"
    },
    {
     "file": "processes-earlier/processes.json",
     "of": "app-redis-postgres sse less app-redis-postgres-one sse: us_per_delivery"
    },
    {
     "file": "processes-earlier/processes.json",
     "of": "app-redis-postgres cable less app-redis-postgres-one cable: us_per_delivery"
    }
   ]
  },
  "memory-sse": {
   "says": "SSE: memory of a connection",
   "unit": "KiB",
   "value": 1.462,
   "low": 1.068,
   "high": 2.032,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app sse: kb_per_connection"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app sse: kb_per_connection"
    },
    {
     "file": "headline/idle.json",
     "of": "app sse: kb_per_connection"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app sse: kb_per_connection"
    }
   ]
  },
  "kernel-sse": {
   "says": "SSE: memory of the kernel for a connection, counted at the high end",
   "unit": "KiB",
   "value": 4.05,
   "low": 3.546,
   "high": 5.256,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app sse: kernel_kb_per_connection"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app sse: kernel_kb_per_connection"
    },
    {
     "file": "headline/idle.json",
     "of": "app sse: kernel_kb_per_connection"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app sse: kernel_kb_per_connection"
    }
   ]
  },
  "idle-sse": {
   "says": "SSE: CPU of a connection's pings or heartbeats",
   "unit": "µs/s",
   "value": 1.302,
   "low": 0.4691,
   "high": 4.586,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app sse: idle_us_per_connection_second"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app sse: idle_us_per_connection_second"
    },
    {
     "file": "headline/idle.json",
     "of": "app sse: idle_us_per_connection_second"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app sse: idle_us_per_connection_second"
    }
   ]
  },
  "connect-sse": {
   "says": "SSE: CPU to take a client in",
   "unit": "µs",
   "value": 114.3,
   "low": 80.82,
   "high": 153.0,
   "from": [
    {
     "file": "second-machine/storm.json",
     "of": "app sse: us_per_connect"
    },
    {
     "file": "second-machine-earlier/storm.json",
     "of": "app sse: us_per_connect"
    },
    {
     "file": "headline/storm.json",
     "of": "app sse: us_per_connect"
    },
    {
     "file": "headline-again/storm.json",
     "of": "app sse: us_per_connect"
    }
   ]
  },
  "pause-sse": {
   "says": "SSE: CPU of a publish for a second of pause before it, up to 0.2 s, 1,000 clients",
   "unit": "ms",
   "value": 24.2,
   "low": 6.466,
   "high": 41.93,
   "clients": 1000,
   "rate": 5.0,
   "from": [
    {
     "file": "headline/sweep.json",
     "of": "app sse: us_per_delivery x offered_per_second, at no rate"
    },
    {
     "file": "headline-again/sweep.json",
     "of": "app sse: us_per_delivery x offered_per_second, at no rate"
    }
   ]
  },
  "write-1000-sse": {
   "says": "SSE: CPU of a delivery, 1,000 clients, 20 updates a second",
   "unit": "µs",
   "value": 8.292,
   "low": 5.485,
   "high": 11.67,
   "clients": 1000,
   "rate": 20.0,
   "from": [
    {
     "file": "second-machine/fanout.json",
     "of": "app sse: us_per_write"
    },
    {
     "file": "second-machine-earlier/fanout.json",
     "of": "app sse: us_per_write"
    },
    {
     "file": "headline/fanout.json",
     "of": "app sse: us_per_delivery"
    },
    {
     "file": "headline-again/fanout.json",
     "of": "app sse: us_per_delivery"
    },
    {
     "file": "processes/processes.json",
     "of": "app sse: us_per_write"
    }
   ]
  },
  "write-16000-sse": {
   "says": "SSE: CPU of a delivery, 16,000 clients, 1.25 updates a second",
   "unit": "µs",
   "value": 7.749,
   "low": 5.975,
   "high": 14.37,
   "clients": 16000,
   "rate": 1.25,
   "from": [
    {
     "file": "second-machine/large.json",
     "of": "app sse: us_per_write"
    },
    {
     "file": "second-machine-earlier/large.json",
     "of": "app sse: us_per_write"
    },
    {
     "file": "headline/large.json",
     "of": "app sse: us_per_delivery"
    },
    {
     "file": "headline-again/large.json",
     "of": "app sse: us_per_delivery"
    }
   ]
  },
  "byte-sse": {
   "says": "SSE: CPU of a byte more in a write",
   "unit": "ns",
   "value": 0.4388,
   "low": 0.1766,
   "high": 0.7862,
   "from": [
    {
     "file": "headline/burst.json",
     "of": "app sse against fanout: us_per_delivery"
    },
    {
     "file": "headline-again/burst.json",
     "of": "app sse against fanout: us_per_delivery"
    }
   ]
  },
  "update-bytes-sse": {
   "says": "SSE: bytes around an update",
   "unit": "bytes",
   "value": 25.02,
   "low": 25.02,
   "high": 25.02,
   "from": [
    {
     "file": "second-machine/fanout.json",
     "of": "app sse: bytes_per_delivery, against burst"
    }
   ]
  },
  "write-bytes-sse": {
   "says": "SSE: bytes around a write",
   "unit": "bytes",
   "value": 6.016,
   "low": 6.016,
   "high": 6.016,
   "from": [
    {
     "file": "headline/burst.json",
     "of": "app sse: bytes_per_delivery, against fanout"
    }
   ]
  },
  "memory-cable": {
   "says": "cable: memory of a connection",
   "unit": "KiB",
   "value": 3.003,
   "low": 2.607,
   "high": 3.629,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app cable: kb_per_connection"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app cable: kb_per_connection"
    },
    {
     "file": "headline/idle.json",
     "of": "app cable: kb_per_connection"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app cable: kb_per_connection"
    }
   ]
  },
  "kernel-cable": {
   "says": "cable: memory of the kernel for a connection, counted at the high end",
   "unit": "KiB",
   "value": 3.994,
   "low": 2.888,
   "high": 6.985,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app cable: kernel_kb_per_connection"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app cable: kernel_kb_per_connection"
    },
    {
     "file": "headline/idle.json",
     "of": "app cable: kernel_kb_per_connection"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app cable: kernel_kb_per_connection"
    }
   ]
  },
  "idle-cable": {
   "says": "cable: CPU of a connection's pings or heartbeats",
   "unit": "µs/s",
   "value": 4.234,
   "low": 2.016,
   "high": 11.47,
   "from": [
    {
     "file": "second-machine/idle.json",
     "of": "app cable: idle_us_per_connection_second"
    },
    {
     "file": "second-machine-earlier/idle.json",
     "of": "app cable: idle_us_per_connection_second"
    },
    {
     "file": "headline/idle.json",
     "of": "app cable: idle_us_per_connection_second"
    },
    {
     "file": "headline-again/idle.json",
     "of": "app cable: idle_us_per_connection_second"
    }
   ]
  },
  "connect-cable": {
   "says": "cable: CPU to take a client in",
   "unit": "µs",
   "value": 189.8,
   "low": 133.2,
   "high": 295.4,
   "from": [
    {
     "file": "second-machine/storm.json",
     "of": "app cable: us_per_connect"
    },
    {
     "file": "second-machine-earlier/storm.json",
     "of": "app cable: us_per_connect"
    },
    {
     "file": "headline/storm.json",
     "of": "app cable: us_per_connect"
    },
    {
     "file": "headline-again/storm.json",
     "of": "app cable: us_per_connect"
    }
   ]
  },
  "pause-cable": {
   "says": "cable: CPU of a publish for a second of pause before it, up to 0.2 s, 1,000 clients",
   "unit": "ms",
   "value": 4.34,
   "low": 0.0,
   "high": 31.53,
   "clients": 1000,
   "rate": 5.0,
   "from": [
    {
     "file": "headline/sweep.json",
     "of": "app cable: us_per_delivery x offered_per_second, at no rate"
    },
    {
     "file": "headline-again/sweep.json",
     "of": "app cable: us_per_delivery x offered_per_second, at no rate"
    }
   ]
  },
  "write-1000-cable": {
   "says": "cable: CPU of a delivery, 1,000 clients, 20 updates a second",
   "unit": "µs",
   "value": 8.162,
   "low": 5.793,
   "high": 11.92,
   "clients": 1000,
   "rate": 20.0,
   "from": [
    {
     "file": "second-machine/fanout.json",
     "of": "app cable: us_per_write"
    },
    {
     "file": "second-machine-earlier/fanout.json",
     "of": "app cable: us_per_write"
    },
    {
     "file": "headline/fanout.json",
     "of": "app cable: us_per_delivery"
    },
    {
     "file": "headline-again/fanout.json",
     "of": "app cable: us_per_delivery"
    },
    {
     "file": "processes/processes.json",
     "of": "app cable: us_per_write"
    }
   ]
  },
  "write-16000-cable": {
   "says": "cable: CPU of a delivery, 16,000 clients, 1.25 updates a second",
   "unit": "µs",
   "value": 7.623,
   "low": 6.717,
   "high": 15.02,
   "clients": 16000,
   "rate": 1.25,
   "from": [
    {
     "file": "second-machine/large.json",
     "of": "app cable: us_per_write"
    },
    {
     "file": "second-machine-earlier/large.json",
     "of": "app cable: us_per_write"
    },
    {
     "file": "headline/large.json",
     "of": "app cable: us_per_delivery"
    },
    {
     "file": "headline-again/large.json",
     "of": "app cable: us_per_delivery"
    }
   ]
  },
  "byte-cable": {
   "says": "cable: CPU of a byte more in a write",
   "unit": "ns",
   "value": 0.8959,
   "low": 0.5244,
   "high": 1.23,
   "from": [
    {
     "file": "headline/burst.json",
     "of": "app cable against fanout: us_per_delivery"
    },
    {
     "file": "headline-again/burst.json",
     "of": "app cable against fanout: us_per_delivery"
    }
   ]
  },
  "update-bytes-cable": {
   "says": "cable: bytes around an update",
   "unit": "bytes",
   "value": 94.06,
   "low": 94.06,
   "high": 94.06,
   "from": [
    {
     "file": "second-machine/fanout.json",
     "of": "app cable: bytes_per_delivery, against burst"
    }
   ]
  },
  "write-bytes-cable": {
   "says": "cable: bytes around a write",
   "unit": "bytes",
   "value": 0.006296,
   "low": 0.006296,
   "high": 0.006296,
   "from": [
    {
     "file": "headline/burst.json",
     "of": "app cable: bytes_per_delivery, against fanout"
    }
   ]
  },
  "core-share": {
   "says": "share of a core up to which latency was good",
   "unit": "of 1",
   "value": 0.6001,
   "low": 0.6001,
   "high": 0.6001,
   "from": [
    {
     "file": "headline/sweep.json",
     "of": "app cable at 60/s: server_share"
    }
   ]
  },
  "beat-bytes-sse": {
   "says": "SSE: a heartbeat",
   "unit": "bytes",
   "value": 111.0,
   "low": 111.0,
   "high": 111.0,
   "from": "docs/protocol.md"
  },
  "beat-seconds-sse": {
   "says": "SSE: from one heartbeat to the next",
   "unit": "s",
   "value": 15.0,
   "low": 15.0,
   "high": 15.0,
   "from": "docs/protocol.md"
  },
  "beat-bytes-cable": {
   "says": "cable: a ping",
   "unit": "bytes",
   "value": 38.0,
   "low": 38.0,
   "high": 38.0,
   "from": "docs/protocol.md"
  },
  "beat-seconds-cable": {
   "says": "cable: from one ping to the next",
   "unit": "s",
   "value": 3.0,
   "low": 3.0,
   "high": 3.0,
   "from": "docs/protocol.md"
  },
  "position-bytes": {
   "says": "extended cable: the position in an update",
   "unit": "bytes",
   "value": 65.0,
   "low": 65.0,
   "high": 65.0,
   "from": "docs/protocol.md"
  }
 },
 "checks": [
  {
   "file": "headline/original.json",
   "transport": "sse",
   "inputs": {
    "clients": 100,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.0627,
    "low": 0.05822,
    "high": 0.06718
   }
  },
  {
   "file": "headline/original.json",
   "transport": "cable",
   "inputs": {
    "clients": 100,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.06436,
    "low": 0.05875,
    "high": 0.06996
   }
  },
  {
   "file": "headline-again/original.json",
   "transport": "sse",
   "inputs": {
    "clients": 100,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.03229,
    "low": 0.0285,
    "high": 0.03609
   }
  },
  {
   "file": "headline-again/original.json",
   "transport": "cable",
   "inputs": {
    "clients": 100,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.03158,
    "low": 0.02846,
    "high": 0.03471
   }
  },
  {
   "file": "headline/forms.json",
   "transport": "sse",
   "inputs": {
    "clients": 1000,
    "rate": 10.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.1313,
    "low": 0.1186,
    "high": 0.1445
   }
  },
  {
   "file": "headline/forms.json",
   "transport": "cable",
   "inputs": {
    "clients": 1000,
    "rate": 10.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.135,
    "low": 0.1235,
    "high": 0.1469
   }
  },
  {
   "file": "headline-again/forms.json",
   "transport": "sse",
   "inputs": {
    "clients": 1000,
    "rate": 10.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.1019,
    "low": 0.09595,
    "high": 0.108
   }
  },
  {
   "file": "headline-again/forms.json",
   "transport": "cable",
   "inputs": {
    "clients": 1000,
    "rate": 10.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.0975,
    "low": 0.09335,
    "high": 0.1017
   }
  },
  {
   "file": "peers/fanout.json",
   "transport": "sse",
   "inputs": {
    "clients": 1000,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.161,
    "low": 0.1561,
    "high": 0.1659
   }
  },
  {
   "file": "peers/fanout.json",
   "transport": "cable",
   "inputs": {
    "clients": 1000,
    "rate": 20.0,
    "size": 350,
    "burst": 1
   },
   "cores": {
    "value": 0.1702,
    "low": 0.1652,
    "high": 0.1752
   }
  },
  {
   "file": "peers/burst.json",
   "transport": "sse",
   "inputs": {
    "clients": 1000,
    "rate": 50.0,
    "size": 350,
    "burst": 100
   },
   "cores": {
    "value": 0.01293,
    "low": 0.01106,
    "high": 0.01507
   }
  },
  {
   "file": "peers/burst.json",
   "transport": "cable",
   "inputs": {
    "clients": 1000,
    "rate": 50.0,
    "size": 350,
    "burst": 100
   },
   "cores": {
    "value": 0.01738,
    "low": 0.01566,
    "high": 0.01928
   }
  }
 ]
} };
