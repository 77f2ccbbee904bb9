// node miniprogram.js PACKAGES URL KEY: a visit to a mini-program, told by the real Sensors SDK.
const [, , packages, url, key] = process.argv;
require('./wx.js');
const sensors = require(`${packages}/node_modules/sa-sdk-miniprogram`);

sensors.setPara({
  server_url: `${url}/sa?project=default&token=${key}`, show_log: false, name: 'sensors',
  batch_send: { send_timeout: 200, max_length: 6 },
});
sensors.init();
sensors.bindOpenid('oABC');
sensors.bindUnionid('uABC');
sensors.quick('appLaunch', wx.getLaunchOptionsSync());
sensors.track('ViewProduct', { sku: 'S1', price: 12.5 });
sensors.setProfile({ city: '广州' });
sensors.setOnceProfile({ first_visit: 'today' });
sensors.incrementProfile({ visits: 1 });
sensors.appendProfile({ likes: ['tea'] });
sensors.login('user-1');
sensors.bind('$identity_mobile', '13800138000');
sensors.track('PayOrder', { order_actual_amount: 19.9 });
sensors.unbind('$identity_mobile', '13800138000');
sensors.logout();
sensors.track('AfterLogout', {});
setTimeout(() => process.exit(0), 2500);
