// node miniprogram_openid.js PACKAGES URL KEY APPID CODE: initWithOpenid of the real Sensors SDK; prints the openid it got.
const [, , packages, url, key, appid, code] = process.argv;
require('./wx.js');
wx.login = (o) => o.success({ code, errMsg: 'login:ok' });
wx.getAccountInfoSync = () => ({ miniProgram: { appId: appid, envVersion: 'release', version: '1.0' } });
let sent = 0, last = 0;
const request = wx.request;
wx.request = (o) => request({ ...o, complete: (reply) => {
  if (o.url.includes('/sa?')) { sent += 1; last = Date.now(); }
  o.complete?.(reply);
} });
const sensors = require(`${packages}/node_modules/sa-sdk-miniprogram`);

sensors.setPara({
  server_url: `${url}/sa?project=default&token=${key}`, show_log: false, name: 'sensors',
  batch_send: { send_timeout: 200, max_length: 6 },
});
sensors.initWithOpenid({ appid }, (openid) => {
  console.log(openid || '');
  setTimeout(() => sensors.track('Arrived', { page: 'index' }), 50);
});
// Over a second after the last batch was answered.
const waiting = setInterval(() => {
  if (sent > 0 && Date.now() - last > 1000) { clearInterval(waiting); process.exit(0); }
}, 100);
setTimeout(() => process.exit(3), 30000);
