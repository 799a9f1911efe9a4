/**
 * The page of one conversation: it asks for a session, joins its LiveKit room, shows the face and
 * both sides' captions, and says in words what is being waited for.
 *
 * What happens goes into `model`; `status()` reduces the model to one word; `render()` is the only
 * place that touches the page for it. The server's side is `web/views.py` and
 * `sessions/consumers.py`. Tests read `window.avatarPage`.
 */

const { Room, RoomEvent, Track, DisconnectReason, createLocalAudioTrack, createAudioAnalyser } =
  window.LivekitClient;

const page = JSON.parse(document.getElementById('page').textContent);
const $ = (id) => document.getElementById(id);
const startForm = $('start-form');
const videoElement = $('video');
const stillElement = $('still');

const SAVED_KEY = 'avatar-session';
const SAVED_CAPTIONS = 40;
/** No picture for this long while the avatar should be there: it is being replaced. */
const FROZEN_MS = 1500;
/** The same once the platform has said that the session is with no worker. */
const FROZEN_REQUEUED_MS = 300;
const RETRY_DELAYS_MS = [250, 500, 1000, 2000, 4000, 8000];

const freshModel = () => ({
  starting: false,
  refusal: null, // {headline, detail}: why no session came about
  session: null, // the session as the platform last told it
  watchToken: null, // signed for this one session: opens its WebSocket
  pageToken: null, // signed for this one session: joins, interrupts, ends
  room: 'out', // out | joining | in | reconnecting | lost
  moved: false, // the same conversation was opened in another tab
  pictureSeen: false,
  pictureAt: 0, // performance.now() of the newest video frame
  agentState: '', // lk.agent.state: initializing | listening | thinking | speaking
  speaking: false, // between avatar.speak_started and avatar.speak_ended
  canHear: true, // false: the browser holds the sound back until somebody taps
  marks: {}, // what happened when, performance.now() in ms
});

let model = freshModel();
let room = null;
let socket = null;
let character = page.characters.find((c) => c.id === page.chosen) ?? page.characters[0];
const microphone = { state: 'off', track: null, analyser: null };
const history = []; // every status the page has shown

// --- the one word ---------------------------------------------------------------------------------

const isOver = () => ['ended', 'failed'].includes(model.session?.status);

function isFrozen() {
  const requeued = ['queued', 'provisioning'].includes(model.session?.status);
  return performance.now() - model.pictureAt > (requeued ? FROZEN_REQUEUED_MS : FROZEN_MS);
}

function status() {
  if (!character) return 'empty';
  if (model.refusal) return 'refused';
  if (model.moved) return 'moved';
  if (!model.session) return model.starting ? 'starting' : 'idle';
  if (isOver() || model.session.status === 'ending') return model.session.status;
  if (model.room === 'reconnecting' || model.room === 'lost') return 'reconnecting';
  if (model.pictureSeen) return isFrozen() && !document.hidden ? 'replacing' : 'live';
  if (model.session.status === 'queued') return 'queued';
  return model.room === 'in' ? 'provisioning' : 'connecting';
}

function seconds(eta) {
  if (eta < 10) return 'Only a few seconds more.';
  if (eta < 90) return `About ${Math.round(eta / 10) * 10} seconds.`;
  return `About ${Math.round(eta / 60)} minutes.`;
}

function queueWords({ position, eta_s: eta } = {}) {
  const stay = 'Keep this page open, it starts by itself.';
  const detail = eta == null ? stay : `${seconds(eta)} ${stay}`;
  if (!position) return ['Waiting for a free place', detail];
  return [position === 1 ? 'You are next' : `You are number ${position} in line`, detail];
}

/** Words of each status: headline, detail, what the pill says, what the start button says. */
function words(now) {
  const name = character?.name ?? '';
  const reason = page.reasons[model.session?.end_reason] ?? '';
  switch (now) {
    case 'empty': return ['Nobody to talk to yet', 'The operator has not published a character.', 'Not connected'];
    case 'idle': return ['', 'Speak, or type. Interrupt whenever you like.', 'Not connected', `Talk with ${name}`];
    case 'starting': return ['Looking for a place', '', 'Starting'];
    case 'queued': return [...queueWords(model.session.queue ?? {}), 'Waiting'];
    case 'connecting': return ['Connecting', 'Joining the conversation.', 'Connecting'];
    case 'provisioning': return [`${name} is getting ready`, 'This takes a moment.', 'Getting ready'];
    case 'live': return ['', '', 'Live'];
    case 'replacing': return ['', `One moment, ${name} will be right back.`, 'One moment'];
    case 'reconnecting': return ['', 'The connection was interrupted. Reconnecting…', 'Reconnecting'];
    case 'ending': return ['Ending the conversation', '', 'Ending'];
    case 'ended': return ['The conversation has ended', reason, 'Ended', 'Talk again'];
    case 'failed': return ['That did not work', reason || model.session.failure?.message || '', 'Failed', 'Try again'];
    case 'moved': return ['Opened in another tab', 'This conversation goes on there.', 'Moved', 'Talk here instead'];
    default: return [model.refusal.headline, model.refusal.detail, 'Not connected', 'Try again'];
  }
}

const MICROPHONE_WORDS = {
  off: '',
  asked: 'Allow the microphone in your browser, or type.',
  on: '',
  muted: 'Your microphone is muted.',
  refused: 'The microphone was refused. You can type instead.',
  missing: 'No microphone was found. You can type instead.',
  insecure: 'Browsers give a microphone to secure (https) pages only. You can type instead.',
};
const ACTIVITY_WORDS = { listening: 'Listening', thinking: 'Thinking', speaking: 'Speaking' };

// --- the page -------------------------------------------------------------------------------------

const setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

function render() {
  const now = status();
  const isNew = history.at(-1)?.status !== now;
  const [headline, detail, pill, button] = words(now);
  const conversing = ['live', 'replacing', 'reconnecting'].includes(now);
  if (isNew) {
    history.push({ status: now, at: performance.now() });
    setText($('announce'), [headline, detail].filter(Boolean).join('. ') || pill);
  }
  document.body.dataset.status = now;
  const alone = ['idle', 'empty'].includes(now) || (button && !captions.size);
  document.body.dataset.layout = alone ? 'face' : 'both';
  setText($('pill-words'), pill);
  $('veil').hidden = conversing;
  setText($('headline'), headline);
  setText($('detail'), detail);
  startForm.hidden = !button;
  if (button) setText($('start'), button);
  if (button && isNew && history.length > 1) $('start').focus({ preventScroll: true });
  $('banner').hidden = !(conversing && detail);
  setText($('banner'), conversing ? detail : '');
  const activity = now === 'live' ? ACTIVITY_WORDS[model.speaking ? 'speaking' : model.agentState] : '';
  $('activity').hidden = !activity;
  setText($('activity'), activity || '');
  $('activity').dataset.state = activity ? activity.toLowerCase() : '';
  stillElement.hidden = !model.pictureSeen || (conversing && !isFrozen());
  $('unlock').hidden = model.canHear || !conversing;
  $('hint').hidden = captions.size > 0;

  const joined = model.room === 'in' && conversing;
  for (const id of ['text', 'send']) $(id).disabled = !joined;
  $('interrupt').disabled = !(joined && (model.speaking || model.agentState !== 'listening'));
  setText($('end').querySelector('span'), conversing ? 'End' : 'Cancel');
  const muted = microphone.state !== 'on';
  $('microphone').setAttribute('aria-pressed', String(!muted));
  $('microphone').dataset.state = microphone.state;
  setText($('microphone').querySelector('span'),
    { on: 'Mute', muted: 'Unmute', asked: 'Asking…' }[microphone.state] ?? 'Microphone');
  setText($('microphone-words'), MICROPHONE_WORDS[microphone.state]);
}

function showCharacter(chosen) {
  character = chosen;
  document.title = `Talk with ${chosen.name}`;
  setText($('name'), chosen.name);
  setText($('tagline'), chosen.tagline);
  $('poster').src = chosen.preview;
  $('face').setAttribute('aria-label', chosen.name);
  const radio = document.querySelector(`input[name=character][value="${CSS.escape(chosen.id)}"]`);
  if (radio) radio.checked = true;
}

// --- captions: both sides, keyed by who speaks and in which segment ------------------------------

const captions = new Map();

function caption(key, who, text, { append = false, final = false } = {}) {
  let line = captions.get(key);
  if (!line) {
    line = { who, text: '', final: false, element: document.createElement('li') };
    line.element.className = who;
    captions.set(key, line);
    $('captions').append(line.element);
  }
  line.text = append ? line.text + text : text;
  line.final ||= final;
  const list = $('captions');
  const following = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  line.element.textContent = line.text;
  line.element.classList.toggle('open', !line.final);
  if (following) list.scrollTop = list.scrollHeight;
  if (final && line.text) {
    // Read out whole lines only; a line that grows word by word is unbearable in a screen reader.
    const spoken = document.createElement('p');
    spoken.textContent = `${who === 'user' ? 'You' : character.name}: ${line.text}`;
    $('spoken').append(spoken);
    remember();
  }
  render();
}

function clearCaptions() {
  captions.clear();
  $('captions').replaceChildren();
  $('spoken').replaceChildren();
}

async function readTranscription(reader, { identity }) {
  const attributes = reader.info.attributes ?? {};
  const own = identity === room?.localParticipant.identity;
  const key = `${identity}|${attributes['lk.segment_id'] ?? reader.info.id}`;
  const who = own ? 'user' : 'avatar';
  let text = '';
  try {
    for await (const delta of reader) {
      text += delta;
      // The agent sends one stream of deltas per segment; of the visitor's words every stream
      // repeats all that was understood so far.
      caption(key, who, own ? text : delta, { append: !own });
    }
  } catch {
    // The sender left in mid-sentence; what was said stays.
  }
  const heard = !own || attributes['lk.transcription_final'] === 'true';
  if (captions.has(key)) caption(key, who, '', { append: true, final: heard });
}

async function sendTyped(text) {
  if (!text || model.room !== 'in') return;
  $('text').value = '';
  try {
    await room.localParticipant.sendText(text, { topic: 'lk.chat' });
    caption(`typed|${captions.size}`, 'user', text, { final: true });
  } catch {
    $('text').value ||= text; // not sent: the words are there to be sent again
  }
}

// --- microphone ----------------------------------------------------------------------------------

async function openMicrophone() {
  if (microphone.track) return;
  if (!navigator.mediaDevices?.getUserMedia) return setMicrophone('insecure');
  setMicrophone('asked');
  try {
    microphone.track = await createLocalAudioTrack({
      echoCancellation: true, noiseSuppression: true, autoGainControl: true,
    });
  } catch (error) {
    return setMicrophone(error?.name === 'NotFoundError' ? 'missing' : 'refused');
  }
  if (!model.session && !model.starting) return closeMicrophone(); // ended while being asked
  microphone.analyser = createAudioAnalyser(microphone.track, { minDecibels: -75, maxDecibels: -25, fftSize: 256 });
  setMicrophone('on');
  await publishMicrophone();
}

async function publishMicrophone() {
  if (!microphone.track || model.room !== 'in') return;
  if (room.localParticipant.getTrackPublication(Track.Source.Microphone)) return;
  await room.localParticipant.publishTrack(microphone.track, { source: Track.Source.Microphone });
}

async function toggleMicrophone() {
  if (!microphone.track) return openMicrophone();
  if (microphone.track.isMuted) await microphone.track.unmute(); else await microphone.track.mute();
  setMicrophone(microphone.track.isMuted ? 'muted' : 'on');
}

function closeMicrophone() {
  microphone.analyser?.cleanup();
  microphone.track?.stop();
  Object.assign(microphone, { track: null, analyser: null });
  setMicrophone('off');
}

function setMicrophone(state) {
  microphone.state = state;
  render();
}

// --- the room ------------------------------------------------------------------------------------

let video = null; // the avatar's track being shown

function showVideo(track) {
  video = track;
  track.attach(videoElement);
  const onFrame = () => {
    if (video !== track) return;
    const first = !model.pictureSeen;
    Object.assign(model, { pictureSeen: true, pictureAt: performance.now() });
    if (first) {
      mark('firstFrame');
      keepPicture(); // the conversation may end before the next second does
    }
    videoElement.requestVideoFrameCallback(onFrame);
  };
  if (videoElement.requestVideoFrameCallback) videoElement.requestVideoFrameCallback(onFrame);
  else videoElement.addEventListener('timeupdate', onFrame);
}

/** Keeps the newest picture, so that there is a face while the avatar is being replaced. */
function keepPicture() {
  if (model.room !== 'in' || !model.pictureSeen || isFrozen() || !videoElement.videoWidth) return;
  stillElement.width = videoElement.videoWidth;
  stillElement.height = videoElement.videoHeight;
  stillElement.getContext('2d').drawImage(videoElement, 0, 0);
}

function openRoom() {
  const opened = new Room({ adaptiveStream: false, dynacast: false, stopLocalTrackOnUnpublish: false });
  const on = (event, react) => opened.on(event, (...given) => {
    if (opened !== room) return; // an older room has nothing to say any more
    react(...given);
    render();
  });
  on(RoomEvent.TrackSubscribed, (track) => {
    if (track.kind === Track.Kind.Video) showVideo(track);
    else $('audio').append(track.attach());
  });
  on(RoomEvent.TrackUnsubscribed, (track) => {
    if (track === video) keepPicture();
    for (const element of track.detach()) if (element !== videoElement) element.remove();
    if (track === video) Object.assign(model, { pictureAt: -Infinity, speaking: false });
  });
  on(RoomEvent.ParticipantAttributesChanged, (changed) => {
    if ('lk.agent.state' in changed) model.agentState = changed['lk.agent.state'];
  });
  on(RoomEvent.ParticipantConnected, (participant) => {
    model.agentState = participant.attributes['lk.agent.state'] ?? model.agentState;
  });
  on(RoomEvent.DataReceived, (payload, participant, kind, topic) => {
    if (topic !== page.events_topic) return;
    const { event_type: type } = JSON.parse(new TextDecoder().decode(payload));
    if (type === 'avatar.speak_started') model.speaking = true;
    if (type === 'avatar.speak_ended') model.speaking = false;
  });
  on(RoomEvent.AudioPlaybackStatusChanged, () => { model.canHear = opened.canPlaybackAudio; });
  on(RoomEvent.Reconnecting, () => { model.room = 'reconnecting'; });
  on(RoomEvent.SignalReconnecting, () => { model.room = 'reconnecting'; });
  on(RoomEvent.Reconnected, () => { model.room = 'in'; });
  on(RoomEvent.Disconnected, onDisconnected);
  opened.registerTextStreamHandler('lk.transcription', readTranscription);
  return opened;
}

function onDisconnected(reason) {
  if (reason === DisconnectReason.CLIENT_INITIATED || isOver()) return;
  model.room = 'lost';
  if (reason !== DisconnectReason.DUPLICATE_IDENTITY) return void rejoin();
  model.moved = true;
  sessionStorage.removeItem(SAVED_KEY);
  leave();
}

async function join({ url, token }) {
  room?.disconnect(false);
  room = openRoom();
  const joining = room;
  model.room = model.pictureSeen ? 'reconnecting' : 'joining';
  await joining.connect(url, token);
  if (joining !== room) return joining.disconnect(false); // left meanwhile
  model.room = 'in';
  model.canHear = joining.canPlaybackAudio;
  for (const participant of joining.remoteParticipants.values()) {
    model.agentState = participant.attributes['lk.agent.state'] ?? model.agentState;
  }
  mark('joined');
  render();
  await publishMicrophone();
}

/** Leaves room and socket and lets the microphone go; the last picture stays. */
function leave() {
  keepPicture();
  const left = room;
  room = null;
  model.room = 'out';
  left?.disconnect();
  socket?.close();
  socket = null;
  $('audio').replaceChildren();
  closeMicrophone();
}

// --- the platform --------------------------------------------------------------------------------

/** Of the cookie and not of the form: who signs in to the admin meanwhile is given another. */
const csrfToken = () => document.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? '';

/** POST with the CSRF token, and the session's signed token once there is one. */
async function post(path, body = {}) {
  const headers = { 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken() };
  if (model.pageToken) headers.Authorization = `Bearer ${model.pageToken}`;
  const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const json = answer.headers.get('Content-Type')?.includes('json');
  return { answer, body: json ? await answer.json() : {} };
}

const sessionPath = (verb) => `${page.session_path}${model.session.id}/${verb}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const mark = (name) => { model.marks[name] = performance.now(); };

async function start() {
  leave();
  clearCaptions();
  sessionStorage.removeItem(SAVED_KEY);
  model = freshModel();
  model.starting = true;
  mark('started');
  videoElement.srcObject = null;
  render();
  void openMicrophone(); // inside the click, so that the browser asks at once
  try {
    const { answer, body } = await post(page.start_path, { character: character.id });
    if (!answer.ok) return refuse(answer, body);
    take(body);
  } catch {
    return refuse(null, {});
  }
}

function refuse(answer, { detail } = {}) {
  const wait = Number(answer?.headers.get('Retry-After'));
  const again = wait ? `Please try again in ${wait} seconds.` : 'Please try again in a moment.';
  leave();
  model = freshModel();
  if (!answer) model.refusal = { headline: 'The server cannot be reached', detail: again };
  else if (answer.status === 429) model.refusal = { headline: 'All places are taken', detail: again };
  else if (answer.status === 403) model.refusal = { headline: 'This page is out of date', detail: 'Please reload it.' };
  else model.refusal = { headline: 'That did not work', detail: detail ?? again };
  render();
}

/** Takes up a session from the answer to `start` or `token`. */
function take(body) {
  const { ws_token: watchToken, page_token: pageToken, ...session } = body;
  Object.assign(model, { session, watchToken, pageToken, starting: false });
  remember();
  listen();
  render();
  join(session.livekit).catch(rejoin);
}

/** Joins again with a fresh token until it works or the platform says that it is over. */
async function rejoin() {
  if (!model.session || isOver() || model.moved) return;
  const { session } = model;
  for (const delay of [...RETRY_DELAYS_MS, ...RETRY_DELAYS_MS.slice(-1), null]) {
    if (model.session?.id !== session.id || isOver()) return;
    if (delay === null) break;
    await pause(delay);
    try {
      const { answer, body } = await post(sessionPath('token'));
      if (answer.ok) return await join(body.livekit);
      if (body.session) return update(body.session); // 409: over, and why
      if (answer.status < 500 && answer.status !== 429) break;
    } catch {
      // Network or room not there yet: the next round tries again.
    }
    render();
  }
  update({ ...model.session, status: 'failed', end_reason: 'ROOM_LOST' });
}

function update(session) {
  if (session.id !== model.session?.id) return;
  const ending = model.session.status === 'ending'; // a message sent before that comes too late
  model.session = { ...model.session, ...session };
  if (ending && !isOver()) model.session.status = 'ending';
  if (isOver()) {
    sessionStorage.removeItem(SAVED_KEY);
    leave();
  }
  render();
}

/** Follows the session over its WebSocket, and comes back to it when the line breaks. */
function listen(tries = 0) {
  const { id } = model.session;
  const address = new URL(`${page.socket_path}${id}`, location.href);
  address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  socket?.close();
  // The token as a subprotocol: an address would be written into logs.
  const token = btoa(model.watchToken).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const opened = new WebSocket(address, ['avatar.watch', token]);
  socket = opened;
  let attempts = tries;
  opened.onmessage = ({ data }) => {
    attempts = 0;
    const { type, ...body } = JSON.parse(data);
    if (type === 'session') update(body);
  };
  opened.onclose = ({ code }) => {
    const final = code === 4401 || code === 4404; // refused, or gone: asking again changes nothing
    if (socket !== opened || final || isOver()) return;
    setTimeout(() => { if (socket === opened) listen(attempts + 1); },
      RETRY_DELAYS_MS[Math.min(attempts, RETRY_DELAYS_MS.length - 1)]);
  };
}

async function end() {
  if (!model.session) return;
  const path = sessionPath('end');
  model.session = { ...model.session, status: 'ending' };
  render();
  try {
    const { answer, body } = await post(path);
    if (answer.ok) update(body);
  } catch {
    // Leaving the room is enough: the platform ends a conversation nobody is in.
  }
  if (isOver()) return;
  await pause(3000); // the WebSocket says why it ended; without it, say what is known here
  if (model.session?.status === 'ending') update({ ...model.session, status: 'ended', end_reason: 'USER_CLOSED' });
}

function remember() {
  if (!model.session || isOver()) return;
  const lines = [...captions].slice(-SAVED_CAPTIONS).map(([key, { who, text }]) => ({ key, who, text }));
  sessionStorage.setItem(SAVED_KEY, JSON.stringify(
    { id: model.session.id, token: model.pageToken, character: character.id, lines }));
}

/** After a reload: back into the same conversation, if it still goes on. */
async function resume() {
  const saved = JSON.parse(sessionStorage.getItem(SAVED_KEY) ?? 'null');
  const chosen = page.characters.find((c) => c.id === saved?.character);
  if (!saved || !chosen) return render();
  showCharacter(chosen);
  Object.assign(model, { starting: true, session: null, pageToken: saved.token });
  render();
  let body = null;
  try {
    const { answer, body: given } = await post(`${page.session_path}${saved.id}/token`);
    if (answer.ok) body = given;
  } catch {
    // Begin anew: the start button says when the server cannot be reached.
  }
  if (!body) {
    sessionStorage.removeItem(SAVED_KEY);
    model = freshModel();
    return render();
  }
  for (const { key, who, text } of saved.lines) caption(key, who, text, { final: true });
  take(body);
  void openMicrophone();
}

// --- figures, and what tests read ----------------------------------------------------------------

let figures = { video: null, audio: null, syncOffsetMs: null };

async function readFigures() {
  const inbound = {};
  for (const participant of room?.remoteParticipants.values() ?? []) {
    for (const { track } of participant.trackPublications.values()) {
      const report = await track?.getRTCStatsReport?.();
      report?.forEach((entry) => {
        // Of several, the one that carries the most: the agent's own track is silent beside the avatar's.
        const more = (entry.bytesReceived ?? 0) > (inbound[entry.kind]?.bytesReceived ?? -1);
        if (entry.type === 'inbound-rtp' && more) inbound[entry.kind] = entry;
      });
    }
  }
  const { video: v, audio: a } = inbound;
  const bothPlayed = v?.estimatedPlayoutTimestamp && a?.estimatedPlayoutTimestamp;
  figures = {
    video: v ? {
      fps: v.framesPerSecond ?? 0, width: v.frameWidth, height: v.frameHeight,
      framesDecoded: v.framesDecoded, framesDropped: v.framesDropped, freezes: v.freezeCount,
      frozenS: v.totalFreezesDuration, estimatedPlayoutTimestamp: v.estimatedPlayoutTimestamp,
    } : null,
    audio: a ? {
      concealedSamples: a.concealedSamples, totalSamples: a.totalSamplesReceived,
      energy: a.totalAudioEnergy, jitterBufferMs: (1000 * a.jitterBufferDelay) / a.jitterBufferEmittedCount,
      estimatedPlayoutTimestamp: a.estimatedPlayoutTimestamp,
    } : null,
    /** Positive: the picture is played later than the sound that belongs to it. */
    syncOffsetMs: bothPlayed ? a.estimatedPlayoutTimestamp - v.estimatedPlayoutTimestamp : null,
  };
  return figures;
}

window.avatarPage = Object.freeze({
  get status() { return status(); },
  get history() { return structuredClone(history); },
  get session() { return structuredClone(model.session); },
  get microphone() { return microphone.state; },
  get speaking() { return model.speaking; },
  get agentState() { return model.agentState; },
  get captions() { return [...captions.values()].map(({ who, text, final }) => ({ who, text, final })); },
  get marks() { return { ...model.marks }; },
  get stats() { return structuredClone(figures); },
  readStats: async () => structuredClone(await readFigures()),
});

// --- wiring --------------------------------------------------------------------------------------

startForm.addEventListener('submit', (event) => { event.preventDefault(); void start(); });
startForm.addEventListener('change', ({ target }) => {
  const chosen = page.characters.find((c) => c.id === target.value);
  if (!chosen) return;
  showCharacter(chosen);
  if (status() !== 'idle') model = freshModel(); // after an end: show the new face, not the last picture
  render();
});
$('microphone').addEventListener('click', () => void toggleMicrophone());
$('end').addEventListener('click', () => void end());
$('unlock').addEventListener('click', () => void room?.startAudio());
$('interrupt').addEventListener('click', () => {
  if (model.session) post(sessionPath('interrupt')).catch(() => {}); // she stops, or has stopped already
});
$('typed').addEventListener('submit', (event) => {
  event.preventDefault();
  void sendTyped($('text').value.trim());
});
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !$('interrupt').disabled) $('interrupt').click();
});
addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) model.pictureAt = Math.max(model.pictureAt, performance.now()); // frames were not counted while hidden
});
setInterval(() => {
  keepPicture();
  if (model.room === 'in') void readFigures();
}, 1000);
setInterval(() => {
  if (model.pictureSeen) render(); // notices a picture that stands still
  const level = microphone.state === 'on' ? microphone.analyser.calculateVolume() : 0;
  $('microphone').style.setProperty('--level', level.toFixed(2));
}, 150);

if (character) showCharacter(character);
void resume();
