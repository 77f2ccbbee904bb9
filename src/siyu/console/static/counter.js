/* The counter: a hand scanner types wherever one is, the camera reads codes where the browser can. */
(function () {
  "use strict";
  var form = document.getElementById("look-up"), field = form.elements.code, place = document.getElementById("scan");
  var video = place.querySelector("video"), problem = document.getElementById("scan-problem"), stream = null, timer = 0;

  /* A scanner is a keyboard: what it types goes into the field, wherever somebody clicked before. */
  document.addEventListener("keydown", function (event) {
    var at = document.activeElement;
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (at && /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    field.focus();
  });

  function say(text) { problem.textContent = text; problem.hidden = !text; }
  function stop() {
    clearTimeout(timer);
    if (stream) stream.getTracks().forEach(function (track) { track.stop(); });
    stream = null;
    video.srcObject = null;
    place.hidden = true;
    field.focus();
  }
  function look(detector) {
    if (!stream) return;
    detector.detect(video).then(function (found) {
      if (!stream) return;
      var code = found.map(function (one) { return one.rawValue.trim(); }).filter(Boolean)[0];
      if (!code) { timer = setTimeout(look, 150, detector); return; }
      stop();
      field.value = code;
      form.requestSubmit();
    }).catch(function () { timer = setTimeout(look, 400, detector); });
  }
  document.querySelector("[data-scan]").addEventListener("click", function (event) {
    var words = event.currentTarget.dataset;
    say("");
    if (!window.isSecureContext || !navigator.mediaDevices) { say(words.insecure); return; }
    if (!("BarcodeDetector" in window)) { say(words.none); return; }
    navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false }).then(function (found) {
      stream = found;
      place.hidden = false;
      video.srcObject = found;
      return video.play();
    }).then(function () { look(new window.BarcodeDetector()); }).catch(function () { stop(); say(words.denied); });
  });
  document.querySelector("[data-scan-stop]").addEventListener("click", stop);
  window.addEventListener("pagehide", stop);
})();
