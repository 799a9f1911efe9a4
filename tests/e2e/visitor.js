// Runs before the page's own script: a microphone that the test plays into, ears and eyes.
(() => {
  let context = null;
  let microphone = null;
  const audio = () => {
    context ??= new AudioContext({ sampleRate: 48000 });
    microphone ??= context.createMediaStreamDestination();
    return context;
  };
  navigator.mediaDevices.getUserMedia = async ({ audio: wanted }) => {
    if (!wanted) throw new DOMException('only a microphone here', 'NotFoundError');
    await audio().resume();
    return microphone.stream.clone();
  };

  const ears = new Map();
  const listen = () => {
    for (const element of document.querySelectorAll('audio, video')) {
      const stream = element.srcObject;
      const track = stream?.getAudioTracks?.()[0];
      if (!track || ears.has(track.id)) continue;
      const analyser = audio().createAnalyser();
      analyser.fftSize = 2048;
      context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
      ears.set(track.id, analyser);
    }
  };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const face = () => document.getElementById('video');

  window.visitor = {
    async speak(encoded) {
      const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
      await audio().resume();
      const sound = await context.decodeAudioData(bytes.buffer);
      const source = context.createBufferSource();
      source.buffer = sound;
      source.connect(microphone);
      source.start();
      return sound.duration;
    },
    loudness() {
      listen();
      let loudest = 0;
      for (const analyser of ears.values()) {
        const wave = new Float32Array(analyser.fftSize);
        analyser.getFloatTimeDomainData(wave);
        loudest = Math.max(loudest, Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length));
      }
      return loudest;
    },
    async pictures(seconds, rate) {
      const canvas = new OffscreenCanvas(128, 128);
      const brush = canvas.getContext('2d', { willReadFrequently: true });
      const seen = [];
      for (let i = 0; i < seconds * rate; i += 1) {
        brush.drawImage(face(), 0, 0, 128, 128);
        const { data } = brush.getImageData(0, 0, 128, 128);
        let grey = '';
        for (let p = 0; p < data.length; p += 4) {
          grey += String.fromCharCode((data[p] * 299 + data[p + 1] * 587 + data[p + 2] * 114) / 1000);
        }
        seen.push(btoa(grey));
        await pause(1000 / rate);
      }
      return seen;
    },
    async frameRate(seconds) {
      const before = face().getVideoPlaybackQuality().totalVideoFrames;
      const from = performance.now();
      await pause(seconds * 1000);
      const shown = face().getVideoPlaybackQuality().totalVideoFrames - before;
      return shown / ((performance.now() - from) / 1000);
    },
  };
})();
