// The mini-program runtime as far as the Sensors SDK uses it: storage in memory, requests over node's http.
// Like the real one it calls `success` for every HTTP status.
const http = require('http');

const store = {};
const system = {
  brand: 'devtools', model: 'iPhone X', pixelRatio: 3, screenWidth: 375, screenHeight: 812, windowWidth: 375,
  windowHeight: 724, language: 'zh_CN', version: '8.0.5', system: 'iOS 10.0.1', platform: 'devtools', SDKVersion: '3.0.0',
};
const answer = (o, result, failed) => {
  (failed ? o.fail : o.success)?.(result);
  o.complete?.(result);
};
// dataType is 'json' unless told otherwise: what can be parsed arrives parsed.
const parsed = (text) => {
  try { return JSON.parse(text); } catch { return text; }
};
const real = {
  request(o) {
    const method = o.method || 'GET';
    const headers = { 'content-type': 'text/plain', ...o.header };
    const sent = http.request(new URL(o.url), { method, headers }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => (text += chunk));
      reply.on('end', () => answer(o, { statusCode: reply.statusCode, data: parsed(text) }));
    });
    sent.on('error', (error) => answer(o, { errMsg: String(error) }, true));
    if (method !== 'GET') sent.write(typeof o.data === 'string' ? o.data : JSON.stringify(o.data ?? ''));
    sent.end();
    return { abort() {} };
  },
  getStorageSync: (key) => store[key] ?? '',
  setStorageSync: (key, value) => { store[key] = value; },
  removeStorageSync: (key) => { delete store[key]; },
  getStorage: (o) => answer(o, o.key in store ? { data: store[o.key] } : { errMsg: 'fail' }, !(o.key in store)),
  setStorage: (o) => { store[o.key] = o.data; answer(o, {}); },
  getSystemInfo: (o) => answer(o, system),
  getSystemInfoSync: () => system,
  getNetworkType: (o) => answer(o, { networkType: 'wifi' }),
  getAccountInfoSync: () => ({ miniProgram: { appId: 'wxTEST', envVersion: 'develop', version: '1.0' } }),
  getLaunchOptionsSync: () => ({ scene: 1047, path: 'pages/index', query: { scene: 'code1' } }),
  canIUse: () => true,
};
globalThis.wx = new Proxy(real, { get: (target, name) => target[name] ?? (() => {}) });
globalThis.App = (o) => o;
globalThis.Page = (o) => o;
globalThis.Component = (o) => o;
globalThis.getApp = () => ({});
globalThis.getCurrentPages = () => [{ route: 'pages/index', options: {} }];
