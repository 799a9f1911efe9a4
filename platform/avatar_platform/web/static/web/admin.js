/**
 * Live parts of the admin. The server renders every part; htmx fetches it anew. This file says when:
 * a session's page follows the session's WebSocket, lists renew unless somebody is choosing in them.
 */
(() => {
  const RETRY_MS = [500, 1000, 2000, 5000];
  const SETTLE_MS = 200; // several things happen at once: one renewal for all of them

  /** Asked by hx-trigger: not in a hidden tab, not under somebody's hands. */
  window.mayRefresh = (selector) => {
    const part = document.querySelector(selector);
    const chosen = part?.querySelector('input:checked, select:focus, input:focus');
    const marked = getSelection()?.toString() && part?.contains(getSelection().anchorNode);
    return Boolean(part) && !document.hidden && !chosen && !marked;
  };

  function watch(path) {
    const address = new URL(path, location.href);
    address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    let tries = 0;
    let settling = null;
    const renew = () => {
      settling ??= setTimeout(() => {
        settling = null;
        for (const id of ['#figures', '#live']) window.htmx.trigger(id, 'refresh');
      }, SETTLE_MS);
    };
    const open = () => {
      const socket = new WebSocket(address);
      socket.onmessage = ({ data }) => {
        if (tries > 0) renew(); // something may have happened while nobody listened
        tries = 0;
        const message = JSON.parse(data);
        if (message.type !== 'transcript' || message.final) renew();
        else document.getElementById('said-now').textContent = message.text;
      };
      socket.onclose = ({ code }) => {
        if (code === 4401 || code === 4404) return;
        setTimeout(open, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
        tries += 1;
      };
    };
    open();
  }

  // A renewed list keeps its place; one that was read at its end stays at its end.
  const places = new Map();
  const followed = () => document.querySelectorAll('[data-follow]');
  const toEnd = (list) => { list.scrollTop = list.scrollHeight; };
  document.addEventListener('htmx:beforeSwap', () => {
    for (const list of followed()) {
      const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
      places.set(list.id, atEnd ? null : list.scrollTop);
    }
  });
  document.addEventListener('htmx:afterSettle', () => {
    for (const list of followed()) {
      const place = places.get(list.id);
      if (place == null) toEnd(list); else list.scrollTop = place;
    }
  });
  document.addEventListener('submit', (event) => {
    const question = event.target.dataset?.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener('DOMContentLoaded', () => {
    followed().forEach(toEnd);
    const page = document.querySelector('[data-socket]');
    if (page) watch(page.dataset.socket);
  });
})();
