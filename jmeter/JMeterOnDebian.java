import java.io.File;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;

/**
 * Starts JMeter 2.13 as Debian packages it. Debian's XStream is newer than that JMeter: it reads no type that nobody
 * allowed, and this JMeter allows none, so that every plan fails to load. This allows JMeter's own types, and no others:
 * a plan is a file that somebody may have changed. JMeter 5 does so by itself and does not need this.
 */
public final class JMeterOnDebian {
    private static final String[] ALLOWED = {"org.apache.jmeter.**", "org.apache.jorphan.**"};

    private JMeterOnDebian() {
    }

    public static void main(String[] args) throws Exception {
        String home = System.getProperty("jmeter.home", "/usr/share/jmeter");
        System.setProperty("jmeter.home", home);
        // Its static part makes the class loader that sees JMeter's jars.
        Class<?> driver = Class.forName("org.apache.jmeter.NewDriver");
        Field field = driver.getDeclaredField("loader");
        field.setAccessible(true);
        ClassLoader loader = (ClassLoader) field.get(null);
        Thread.currentThread().setContextClassLoader(loader);

        // SaveService reads properties when it is loaded.
        Class<?> utils = loader.loadClass("org.apache.jmeter.util.JMeterUtils");
        utils.getMethod("setJMeterHome", String.class).invoke(null, home);
        String properties = home + File.separator + "bin" + File.separator + "jmeter.properties";
        utils.getMethod("loadJMeterProperties", String.class).invoke(null, properties);
        Class<?> saves = Class.forName("org.apache.jmeter.save.SaveService", true, loader);
        Class<?> xstream = loader.loadClass("com.thoughtworks.xstream.XStream");
        for (Field each : saves.getDeclaredFields()) {
            if (Modifier.isStatic(each.getModifiers()) && xstream.isAssignableFrom(each.getType())) {
                each.setAccessible(true);
                xstream.getMethod("allowTypesByWildcard", String[].class).invoke(each.get(null), (Object) ALLOWED);
            }
        }
        driver.getMethod("main", String[].class).invoke(null, (Object) args);
    }
}
