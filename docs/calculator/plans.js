/**
 * Plans and prices: what the platforms' pages and programs said, with the day that they bear. US$ a month. Nothing here was measured.
 * Not listed: Heroku's Eco, which sleeps.
 */
(() => {
  "use strict";

  // `cores` follows from the buildpack's rule, WEB_CONCURRENCY = min(2 x cores + 1, memory / 256 MB); null: shared, nobody says how much.
  // `most`: dynos of a process type.
  const dynos = [
    { name: "Basic", mb: 512, processes: 2, cores: null, usd: 7, most: 1 },
    { name: "Standard-1X", mb: 512, processes: 2, cores: null, usd: 25 },
    { name: "Standard-2X", mb: 1024, processes: 4, cores: null, usd: 50 },
    { name: "Performance-M", mb: 2560, processes: 5, cores: 2, usd: 250 },
    { name: "Performance-L", mb: 14_336, processes: 17, cores: 8, usd: 500 },
  ];

  const redis = [
    { name: "mini", connections: 20, usd: 3 },
    { name: "premium-0", connections: 40, usd: 15, isGuess: true },
    { name: "premium-1", connections: 80, usd: 30, isGuess: true },
    { name: "premium-2", connections: 200, usd: 60 },
  ];

  const postgres = [
    { name: "essential-0", connections: 20, usd: 5 },
    { name: "standard-0", connections: 120, usd: 50 },
    { name: "standard-2", connections: 400, usd: 200 },
  ];

  // Billed by what is used: US$ for a GB of memory, a core, a GB of egress. `least` is paid in any case.
  const metered = { name: "Railway", memory: 10, core: 20, egress: 0.05, least: 5 };

  const sources = [
    { what: "dynos, prices", where: "heroku/cli, src/commands/ps/type.ts", date: "2026-08-04" },
    { what: "dynos, memory", where: "Dev Center, Dyno Types", date: "2024-06-04" },
    { what: "processes of a dyno", where: "heroku/heroku-buildpack-python, vendor/WEB_CONCURRENCY.sh", date: "2026-08-18" },
    { what: "Key-Value Store, connections", where: "Dev Center, Heroku Key-Value Store Technical Characterization", date: "2024-10-11" },
    { what: "Key-Value Store, price of mini", where: "Dev Center, Heroku Key-Value Store", date: "2024-12-04" },
    { what: "Key-Value Store, price of premium-2, and Postgres, prices", where: "api-evangelist/heroku, plans", date: "2026-05-04" },
    {
      what: "Key-Value Store, prices of premium-0 and premium-1; one Basic dyno at most",
      where: "not seen at Heroku: a guess",
    },
    { what: "Postgres, connections", where: "not seen at Heroku: goldlapel.com/blog/heroku-postgresql-optimization", date: "2026-03-29" },
    { what: "Railway, prices", where: "railwayapp/docs, pricing", date: "2026-08-21" },
    { what: "1,500 streams a dyno", where: "a remark of Heroku's staff, elixirforum.com/t/20029, about the EU", date: "2016" },
  ];

  globalThis.calculator = { ...globalThis.calculator, plans: { dynos, redis, postgres, metered, sources } };
})();
