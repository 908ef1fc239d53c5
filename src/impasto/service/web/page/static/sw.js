// Keeps the shell of the page, so that it opens without the server: pictures and jobs are never kept here.

const SHELL = "impasto-shell-VERSION";
const PATHS = FILES;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(PATHS)));
});

self.addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name.startsWith("impasto-shell-") && name !== SHELL);
  event.waitUntil(caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))));
});

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !PATHS.includes(pathname)) return;
  event.respondWith(
    fetch(event.request)
      .then((answer) => {
        const copy = answer.clone();
        if (answer.ok) event.waitUntil(caches.open(SHELL).then((cache) => cache.put(event.request, copy)));
        return answer;
      })
      .catch(() => caches.match(event.request)),
  );
});
